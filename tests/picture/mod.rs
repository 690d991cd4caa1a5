//! A screen as a picture (SVG), readable on light and dark pages.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

const WIDE: usize = 8;
const HIGH: usize = 17;
const INK: &str = "#d8d8d8";
const PAPER: &str = "#16181d";

/// The cells of a screen as text runs on rectangles.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (wide, high) = (columns * WIDE, rows * HIGH);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" \
         font-family=\"monospace\" font-size=\"13\">\n\
         <rect width=\"{wide}\" height=\"{high}\" fill=\"{PAPER}\"/>\n"
    );
    for (y, line) in buffer.content.chunks(columns).enumerate() {
        let mut start = 0;
        for run in line.chunk_by(|a, b| look(a) == look(b)) {
            draw(&mut out, run, start, y);
            start += run.len();
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Ink, paper and weight of a cell.
fn look(cell: &Cell) -> (String, String, bool) {
    let (ink, paper) = (hex(cell.fg, INK), hex(cell.bg, PAPER));
    let bold = cell.modifier.contains(Modifier::BOLD);
    match cell.modifier.contains(Modifier::REVERSED) {
        true => (paper, ink, bold),
        false => (ink, paper, bold),
    }
}

fn hex(colour: Color, default: &str) -> String {
    match colour {
        // The cube and the greys of the 256 colours.
        Color::Indexed(index @ 16..=231) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + u32::from(step) * 40 };
            let cube = index - 16;
            let (red, green, blue) = (cube / 36, cube / 6 % 6, cube % 6);
            format!("#{:02x}{:02x}{:02x}", level(red), level(green), level(blue))
        }
        Color::Indexed(index @ 232..) => {
            let grey = 8 + u32::from(index - 232) * 10;
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
        _ => default.to_owned(),
    }
}

fn draw(out: &mut String, run: &[Cell], start: usize, y: usize) {
    let (ink, paper, bold) = look(&run[0]);
    let (x, top, wide) = (start * WIDE, y * HIGH, run.len() * WIDE);
    if paper != PAPER {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{HIGH}\" fill=\"{paper}\"/>"
        );
    }
    let text: String = run.iter().map(Cell::symbol).collect();
    if text.trim().is_empty() {
        return;
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let base = top + HIGH - 4;
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{base}\" fill=\"{ink}\" textLength=\"{wide}\" \
         lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{weight}>{text}</text>"
    );
}
