//! From text to a tree: words, then precedence.

use winnow::combinator::{alt, delimited, repeat};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _};
use winnow::token::{literal, one_of, take_while};

use super::term::{Operator, Term, Value, Wrong};
use super::{Fault, Place, Tree};

type Input<'a> = LocatingSlice<&'a str>;

/// A piece of text and its offset in octets.
#[derive(Clone, Debug)]
struct Piece {
    at: usize,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Open,
    Close,
    Not,
    Operator(Operator),
    Comma,
    Word(String),
    Quoted(String),
    Pattern(String),
}

/// The tree of a text.
pub(super) fn tree(text: &str) -> Result<Tree, Fault> {
    if text.len() > TEXT_MAX {
        let what = format!("longer than {TEXT_MAX} characters");
        return Err(Fault { at: TEXT_MAX, what });
    }
    let pieces = pieces(text).map_err(|(at, what)| fault(text, at, what))?;
    let mut reader = Reader { pieces: pieces.into_iter().peekable(), end: text.len(), terms: 0 };
    let tree = reader.any(0).and_then(|tree| match reader.pieces.next() {
        None => Ok(tree),
        Some(piece) => Err((piece.at, "a ) without its (".to_owned())),
    });
    tree.map_err(|(at, what)| fault(text, at, what))
}

fn fault(text: &str, at: usize, what: String) -> Fault {
    let before = text.char_indices().take_while(|(offset, _)| *offset < at).count();
    Fault { at: before, what }
}

type Broken = (usize, String);

fn pieces(text: &str) -> Result<Vec<Piece>, Broken> {
    let mut input = LocatingSlice::new(text);
    let mut pieces = Vec::new();
    loop {
        let _: &str = take_while::<_, _, ContextError>(0.., char::is_whitespace)
            .parse_next(&mut input)
            .unwrap_or_default();
        let at = input.current_token_start();
        let Some(next) = input.chars().next() else { return Ok(pieces) };
        let last = pieces.last().map(|piece: &Piece| &piece.what);
        let behind = matches!(last, Some(What::Operator(_) | What::Comma));
        let what = match piece(behind).parse_next(&mut input) {
            Ok(what) => what,
            Err(_) if next == '"' => return Err((at, "the quote does not end".into())),
            Err(_) => return Err((at, format!("'{next}' is not expected here"))),
        };
        pieces.push(Piece { at, what });
    }
}

fn piece<'a>(behind: bool) -> impl ModalParser<Input<'a>, What, ContextError> {
    move |input: &mut Input<'a>| {
        if behind {
            let text = alt((quoted.map(What::Quoted), value.map(What::Word)));
            return alt((pattern.map(What::Pattern), text)).parse_next(input);
        }
        alt((
            '('.value(What::Open),
            ')'.value(What::Close),
            ','.value(What::Comma),
            operator.map(What::Operator),
            '!'.value(What::Not),
            quoted.map(What::Quoted),
            plain.map(What::Quoted),
            word.map(What::Word),
        ))
        .parse_next(input)
    }
}

fn operator(input: &mut Input<'_>) -> ModalResult<Operator> {
    alt((
        alt((literal(">="), literal("≥"))).value(Operator::AtLeast),
        alt((literal("<="), literal("≤"))).value(Operator::AtMost),
        literal("!=").value(Operator::Unequal),
        alt((literal("=="), literal("="), literal(":"))).value(Operator::Equal),
        literal(">").value(Operator::More),
        literal("<").value(Operator::Less),
    ))
    .parse_next(input)
}

fn escaped(input: &mut Input<'_>, end: char) -> ModalResult<String> {
    let plain = take_while(1.., move |c| c != end && c != '\\').map(str::to_owned);
    let hidden = ('\\', one_of(|_: char| true)).map(move |(_, c): (char, char)| {
        // Of a pattern, the other escapes are the pattern's own.
        if c == end || end == '"' { c.to_string() } else { format!("\\{c}") }
    });
    let parts: Vec<String> = repeat(0.., alt((plain, hidden))).parse_next(input)?;
    Ok(parts.concat())
}

fn quoted(input: &mut Input<'_>) -> ModalResult<String> {
    delimited('"', |input: &mut _| escaped(input, '"'), '"').parse_next(input)
}

/// `/x/`, up to a space or the text's end behind it; else it is a path.
fn pattern(input: &mut Input<'_>) -> ModalResult<String> {
    let start = input.checkpoint();
    let found = delimited('/', |input: &mut _| escaped(input, '/'), '/').parse_next(input);
    let ends = input.chars().next().is_none_or(|c| c.is_whitespace() || c == ')' || c == ',');
    if let (Ok(found), true) = (&found, ends)
        && !found.is_empty()
    {
        return Ok(found.clone());
    }
    input.reset(&start);
    Err(winnow::error::ErrMode::Backtrack(ContextError::new()))
}

fn word(input: &mut Input<'_>) -> ModalResult<String> {
    let sign = |c: char| matches!(c, '(' | ')' | '"' | ',' | ':' | '=' | '<' | '>' | '!');
    take_while(1.., move |c: char| !c.is_whitespace() && !sign(c))
        .map(str::to_owned)
        .parse_next(input)
}

/// A path with its query, or an address with its port: their signs are no operators.
fn plain(input: &mut Input<'_>) -> ModalResult<String> {
    let is_whole = |text: &String| {
        text.starts_with('/') || Place::new(text).is_some_and(|place| place.port.is_some())
    };
    value.verify(is_whole).parse_next(input)
}

/// What stands behind an operator: addresses and paths keep their signs.
fn value(input: &mut Input<'_>) -> ModalResult<String> {
    take_while(1.., |c: char| !c.is_whitespace() && !matches!(c, ')' | '"' | ','))
        .map(str::to_owned)
        .parse_next(input)
}

struct Reader<I: Iterator<Item = Piece>> {
    pieces: std::iter::Peekable<I>,
    end: usize,
    terms: usize,
}

impl<I: Iterator<Item = Piece>> Reader<I> {
    fn any(&mut self, depth: usize) -> Result<Tree, Broken> {
        let mut parts = vec![self.all(depth)?];
        while self.takes_word(&["or", "OR", "||"]) {
            if matches!(self.pieces.peek(), None | Some(Piece { what: What::Close, .. })) {
                let at = self.pieces.peek().map_or(self.end, |piece| piece.at);
                return Err((at, "something has to follow 'or'".into()));
            }
            parts.push(self.all(depth)?);
        }
        let several = parts.len() > 1;
        Ok(if several { Tree::Any(parts) } else { parts.pop().unwrap_or(Tree::All(Vec::new())) })
    }

    fn all(&mut self, depth: usize) -> Result<Tree, Broken> {
        let mut parts = Vec::new();
        loop {
            let joined = !parts.is_empty() && self.takes_word(&["and", "AND", "&&"]);
            match self.pieces.peek() {
                None | Some(Piece { what: What::Close, .. }) if joined => {
                    let at = self.pieces.peek().map_or(self.end, |piece| piece.at);
                    return Err((at, "something has to follow 'and'".into()));
                }
                None | Some(Piece { what: What::Close, .. }) => break,
                Some(Piece { what: What::Word(word), at }) if is_or(word) => {
                    if parts.is_empty() {
                        return Err((*at, "something has to stand before 'or'".into()));
                    }
                    break;
                }
                Some(_) => parts.push(self.not(depth)?),
            }
        }
        Ok(Tree::All(parts))
    }

    fn not(&mut self, depth: usize) -> Result<Tree, Broken> {
        if depth > DEPTH_MAX {
            let at = self.pieces.peek().map_or(self.end, |piece| piece.at);
            return Err((at, "nested too deeply".into()));
        }
        let negates = matches!(self.pieces.peek(), Some(Piece { what: What::Not, .. }));
        if negates || self.is_word(&["not", "NOT"]) {
            let at = self.pieces.next().map_or(self.end, |piece| piece.at);
            if self.pieces.peek().is_none() {
                return Err((at, "something has to follow 'not'".into()));
            }
            return Ok(Tree::Not(Box::new(self.not(depth.saturating_add(1))?)));
        }
        if let Some(open) = self.pieces.next_if(|piece| piece.what == What::Open) {
            if matches!(self.pieces.peek(), Some(Piece { what: What::Close, .. })) {
                return Err((open.at, "nothing stands between ( and )".into()));
            }
            let tree = self.any(depth.saturating_add(1))?;
            return match self.pieces.next() {
                Some(Piece { what: What::Close, .. }) => Ok(tree),
                _ => Err((open.at, "a ( without its )".into())),
            };
        }
        self.term()
    }

    fn term(&mut self) -> Result<Tree, Broken> {
        self.terms = self.terms.saturating_add(1);
        let Some(first) = self.pieces.next() else {
            return Err((self.end, "a field is missing".into()));
        };
        if self.terms > TERMS_MAX {
            return Err((first.at, format!("more than {TERMS_MAX} conditions")));
        }
        let word = match first.what {
            What::Word(word) => word,
            What::Quoted(text) => return Ok(Tree::Term(Box::new(Term::everywhere(&text)))),
            What::Operator(_) | What::Comma => {
                return Err((first.at, "a field has to stand before this".into()));
            }
            _ => return Err((first.at, "a field is expected here".into())),
        };
        let operator = self.pieces.next_if(|piece| matches!(piece.what, What::Operator(_)));
        let Some(Piece { what: What::Operator(operator), at }) = operator else {
            return Ok(Tree::Term(Box::new(Term::everywhere(&word))));
        };
        let mut places = Vec::new();
        let mut values = Vec::new();
        loop {
            let (place, value) = self.value(at, &word)?;
            places.push(place);
            values.push(value);
            if self.pieces.next_if(|piece| piece.what == What::Comma).is_none() {
                break;
            }
        }
        let term = Term::new(&word, operator, values).map_err(|(wrong, what)| {
            let place = match wrong {
                Wrong::Field => Some(first.at),
                Wrong::Operator => None,
                Wrong::Value(index) => places.get(index).copied(),
            };
            (place.unwrap_or(at), what)
        })?;
        Ok(Tree::Term(Box::new(term)))
    }

    /// A value and its place.
    fn value(&mut self, operator_at: usize, field: &str) -> Result<(usize, Value), Broken> {
        let value = self.pieces.next().and_then(|piece| match piece.what {
            What::Pattern(pattern) => Some((piece.at, Value::Pattern(pattern))),
            What::Quoted(text) | What::Word(text) => Some((piece.at, Value::Text(text))),
            _ => None,
        });
        value.ok_or_else(|| (operator_at, format!("'{field}' has no value")))
    }

    fn is_word(&mut self, words: &[&str]) -> bool {
        matches!(self.pieces.peek(), Some(Piece { what: What::Word(word), .. })
            if words.contains(&word.as_str()))
    }

    fn takes_word(&mut self, words: &[&str]) -> bool {
        let is = self.is_word(words);
        if is {
            self.pieces.next();
        }
        is
    }
}

fn is_or(word: &str) -> bool {
    ["or", "OR", "||"].contains(&word)
}

/// Octets of a filter: far above what a person types.
const TEXT_MAX: usize = 4096;
/// Conditions of a filter: each is asked of every row.
const TERMS_MAX: usize = 64;
/// Parentheses within each other: the tree is walked by recursion.
const DEPTH_MAX: usize = 32;
