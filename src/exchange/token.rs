//! The words of one script line.

/// One word: octets with quotes and escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: Vec<u8>,
    /// Whether it began with a quote: text, never a keyword.
    pub(super) quoted: bool,
}

impl Token {
    /// The word as a keyword or number; empty for quoted text.
    pub(super) fn word(&self) -> &str {
        if self.quoted { "" } else { std::str::from_utf8(&self.text).unwrap_or("") }
    }
}

/// Splits a line at blanks; a `#` at the start of a word begins a comment.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (token, behind) = token(rest)?;
        tokens.push(token);
        rest = behind.trim_start();
    }
    Ok(tokens)
}

fn token(line: &str) -> Result<(Token, &str), String> {
    let mut text = Vec::new();
    let mut inside = false;
    let mut chars = line.chars();
    loop {
        let rest = chars.as_str();
        match chars.next() {
            None if inside => return Err("a quote is not closed".to_owned()),
            None => return Ok((Token { text, quoted: line.starts_with('"') }, rest)),
            Some('"') => inside = !inside,
            Some('\\') if inside => text.push(escape(&mut chars)?),
            Some(blank) if blank.is_whitespace() && !inside => {
                return Ok((Token { text, quoted: line.starts_with('"') }, rest));
            }
            Some(other) => {
                text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
}

/// The octet that an escape stands for, behind its backslash.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match chars.next() {
        Some('r') => Ok(b'\r'),
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some(same @ ('"' | '\\')) => Ok(same as u8),
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            match hex(&digits)?.as_slice() {
                [octet] => Ok(*octet),
                _ => Err("\\x takes two hexadecimal digits".to_owned()),
            }
        }
        _ => Err("unknown escape: use \\r \\n \\t \\0 \\\" \\\\ \\xHH".to_owned()),
    }
}

/// Octets written in hexadecimal.
pub(super) fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{digits}` is not whole octets in hexadecimal");
    let mut octets = Vec::new();
    let mut chars = digits.chars();
    while let Some(high) = chars.next() {
        let high = high.to_digit(16).ok_or_else(wrong)?;
        let low = chars.next().and_then(|low| low.to_digit(16)).ok_or_else(wrong)?;
        octets.push(u8::try_from(high << 4 | low).unwrap_or(0));
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_escapes_and_comments() {
        let line = r##" 3  a="b # c" "x\r\n\x7f\\\"" d#e # rest"##;
        let words = tokens(line).unwrap();
        let text: Vec<&[u8]> = words.iter().map(|token| token.text.as_slice()).collect();
        assert_eq!(text, [&b"3"[..], b"a=b # c", b"x\r\n\x7f\\\"", b"d#e"]);
        assert_eq!((words[2].quoted, words[2].word()), (true, ""));
        assert_eq!((words[1].quoted, words[1].word()), (false, "a=b # c"));
        assert_eq!(tokens("# all").unwrap(), []);
        assert!(tokens("\"open").is_err());
        assert!(tokens("\"\\q\"").is_err());
        assert!(tokens("\"\\x7\"").is_err());
    }
}
