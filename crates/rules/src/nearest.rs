//! The name somebody probably meant.

/// `; did you mean `x`?`, or nothing when no known name is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The known name with the fewest edits, when they are few for a name of that length.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_is_near_and_nothing_else() {
        let known = ["checkout", "reporting", "dba", "postgres.cancel-query"];
        for (name, near) in [
            ("chekcout", Some("checkout")),
            ("reportin", Some("reporting")),
            ("dbs", Some("dba")),
            ("postgres.cancel-qurey", Some("postgres.cancel-query")),
            ("payments", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), near, "{name}");
        }
    }
}
