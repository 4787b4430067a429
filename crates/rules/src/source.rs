//! Where things stand in a policy file: its statements, annotations and entity literals with their places.
//!
//! Cedar's parser gives values; what people need beside them is a place for every name that only this house can
//! judge (an unknown team, an unknown annotation). This reads tokens only: whether a statement is a policy is
//! Cedar's to say.

/// One statement of a policy file, up to and with its `;`.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// Byte offset in the file.
    pub(crate) start: usize,
    pub(crate) text: &'a str,
    pub(crate) annotations: Vec<Annotation<'a>>,
    pub(crate) literals: Vec<Literal<'a>>,
}

/// `@name(…)`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Annotation<'a> {
    pub(crate) name: &'a str,
    /// Of the `@`, byte offset in the file.
    pub(crate) offset: usize,
}

/// `Type::"id"`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal<'a> {
    pub(crate) type_name: String,
    /// As written, escapes included.
    pub(crate) id: &'a str,
    /// Of the type, byte offset in the file.
    pub(crate) offset: usize,
}

impl Statement<'_> {
    /// Where an annotation stands; the statement itself when it has none of that name.
    pub(crate) fn place_of(&self, annotation: &str) -> usize {
        self.annotations
            .iter()
            .find(|found| found.name == annotation)
            .map_or(self.start, |found| found.offset)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Path,
    At,
    End,
    Other,
}

/// The statements of a file, in order. What follows the last `;` is one too, when it is more than comments.
pub(crate) fn statements(file: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut current: Option<Statement<'_>> = None;
    // The path that is being read (`A::B::`) and where it began.
    let mut path: Vec<&str> = Vec::new();
    let mut path_start = 0;
    let mut before = Token::Other;
    let mut at = 0;
    let mut annotation_start = None;
    while let Some((token, start, end)) = next_token(file, at) {
        at = end;
        let statement = current.get_or_insert_with(|| Statement {
            start,
            text: "",
            annotations: Vec::new(),
            literals: Vec::new(),
        });
        match token {
            Token::At => annotation_start = Some(start),
            Token::Word(name) => {
                if before == Token::At {
                    let offset = annotation_start.take().unwrap_or(start);
                    statement.annotations.push(Annotation { name, offset });
                } else if before == Token::Path {
                    path.push(name);
                } else {
                    path = vec![name];
                    path_start = start;
                }
            }
            Token::Text(id) if before == Token::Path && !path.is_empty() => {
                statement.literals.push(Literal { type_name: path.join("::"), id, offset: path_start });
                path.clear();
            }
            Token::Path => {}
            Token::Text(_) | Token::Other | Token::End => path.clear(),
        }
        before = token;
        if token == Token::End
            && let Some(mut done) = current.take()
        {
            done.text = &file[done.start..end];
            found.push(done);
        }
    }
    if let Some(mut rest) = current {
        rest.text = &file[rest.start..];
        found.push(rest);
    }
    found
}

/// The next token from `at` on, with where it begins and ends. White space and comments are skipped.
fn next_token(file: &str, at: usize) -> Option<(Token<'_>, usize, usize)> {
    let mut start = at;
    loop {
        let rest = file.get(start..)?;
        let trimmed = rest.trim_start();
        start += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            break;
        }
        // As in Cedar: a lone carriage return ends a comment, or a policy could hide behind one.
        start += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
    }
    let rest = &file[start..];
    let first = rest.chars().next()?;
    let (token, length) = match first {
        '"' => {
            let end = end_of_text(rest);
            let closed = end > 1 && rest[..end].ends_with('"');
            (Token::Text(&rest[1..end - usize::from(closed)]), end)
        }
        '@' => (Token::At, 1),
        ';' => (Token::End, 1),
        ':' if rest.starts_with("::") => (Token::Path, 2),
        '_' | 'a'..='z' | 'A'..='Z' => {
            let end = rest
                .find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
                .unwrap_or(rest.len());
            (Token::Word(&rest[..end]), end)
        }
        other => (Token::Other, other.len_utf8()),
    };
    Some((token, start, start + length))
}

/// The length of a text literal with its quotes; to the end of the file when it is not closed.
fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (position, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return position + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_their_marks() {
        let file = "// a; comment \"\n@id(\"one;\\\"\") @by(\"x\")\npermit (principal in Team::\"a\", action, resource); forbid(principal == N::Person :: \"b\\\"c\", action, resource) // ;\n";
        let found = statements(file);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].annotations.iter().map(|mark| mark.name).collect::<Vec<_>>(), ["id", "by"]);
        assert_eq!(found[0].start, file.find("@id").unwrap());
        assert!(found[0].text.ends_with("resource);"));
        assert_eq!(
            found[0].literals,
            [Literal { type_name: "Team".to_owned(), id: "a", offset: file.find("Team").unwrap() }]
        );
        assert_eq!(found[1].literals[0].type_name, "N::Person");
        assert_eq!(found[1].literals[0].id, "b\\\"c");
        assert_eq!(found[1].place_of("id"), found[1].start);
    }

    #[test]
    fn nothing_hides_behind_a_comment() {
        let found = statements("// a\rforbid(principal, action, resource);");
        assert_eq!(found.len(), 1);
        assert!(found[0].text.starts_with("forbid"));
    }

    #[test]
    fn broken_text_ends_somewhere() {
        for file in ["permit(\"", "@", "\"\\", "::", "é@é", "// only", ""] {
            for statement in statements(file) {
                assert!(file.ends_with(statement.text), "{file:?}");
            }
        }
        assert!(statements("// only\n  \n").is_empty());
    }
}
