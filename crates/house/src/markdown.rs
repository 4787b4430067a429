//! As much of Markdown as is needed to know what a page cites: inline code and links, outside fenced blocks.

/// Something a page cites, and the line (from 1) where it does.
#[derive(Debug, PartialEq, Eq)]
pub struct Citation {
    /// Line, from 1.
    pub line: usize,
    /// The text between backticks, or the target of a link.
    pub text: String,
    /// Whether it was a link.
    pub link: bool,
}

/// All that a page cites.
pub fn citations(page: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        // Odd pieces stand between backticks; links are looked for in the even ones only.
        for (place, piece) in line.split('`').enumerate() {
            if place % 2 == 1 {
                found.push(Citation { line: index + 1, text: piece.to_owned(), link: false });
            }
        }
        found.extend(link_targets(line).map(|target| Citation {
            line: index + 1,
            text: target.to_owned(),
            link: true,
        }));
    }
    found
}

/// Targets of `[text](target)` in a line. The text may hold inline code.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(start, _)| {
        let rest = &line[start + 2..];
        rest.find(')').map(|end| rest[..end].split_whitespace().next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_links_are_found_and_fences_are_not() {
        let page = "see `a/b.rs` and [the `c` page](docs/c.md#top)\n```\n`not/this` [nor](this)\n```\n`d/e`";
        let found: Vec<(usize, String)> =
            citations(page).into_iter().map(|one| (one.line, one.text)).collect();
        let expected = [(1, "a/b.rs"), (1, "c"), (1, "docs/c.md#top"), (5, "d/e")];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }
}
