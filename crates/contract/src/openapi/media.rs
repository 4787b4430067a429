//! Media types of bodies: which are JSON, which are forms, and which of several is written.

/// What a body is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, or something in JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/…`.
    Parts,
    /// Text as it is: plain, XML, YAML, CSV.
    Text,
    /// Anything else.
    Bytes,
}

impl Kind {
    /// Whether an object is written in it member by member.
    pub(super) fn has_members(self) -> bool {
        matches!(self, Self::Json | Self::Form | Self::Parts)
    }
}

/// Without parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a value of this type is JSON. A type that leaves the choice to the caller is.
pub(super) fn is_json(media_type: &str) -> bool {
    let media_type = essence(media_type);
    matches!(media_type.as_str(), "application/json" | "application/*" | "*/*" | "text/json")
        || media_type.ends_with("+json")
}

/// Whether it need not be named: the usual one.
pub(super) fn is_plain_json(media_type: &str) -> bool {
    matches!(essence(media_type).as_str(), "application/json" | "application/*" | "*/*")
}

/// What it is written as.
pub(super) fn kind(media_type: &str) -> Kind {
    if is_json(media_type) {
        return Kind::Json;
    }
    let media_type = essence(media_type);
    match media_type.as_str() {
        "application/x-www-form-urlencoded" => Kind::Form,
        "application/xml"
        | "application/yaml"
        | "application/x-yaml"
        | "application/toml"
        | "application/graphql"
        | "application/sql"
        | "application/javascript"
        | "application/x-ndjson" => Kind::Text,
        other if other.starts_with("multipart/") => Kind::Parts,
        other if other.starts_with("text/") || other.ends_with("+xml") || other.ends_with("+yaml") => {
            Kind::Text
        }
        _ => Kind::Bytes,
    }
}

/// The smaller, the sooner it is chosen. Of the ways to patch, the one that needs no list of steps.
pub(super) fn rank(media_type: &str) -> u8 {
    match (kind(media_type), essence(media_type).as_str()) {
        (_, "application/json") => 0,
        (_, "application/*" | "*/*") => 1,
        (_, "application/merge-patch+json") => 2,
        (Kind::Json, "application/json-patch+json") => 4,
        (Kind::Json, _) => 3,
        (Kind::Form, _) => 5,
        (Kind::Parts, _) => 6,
        (Kind::Text, _) => 7,
        (Kind::Bytes, _) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_first_and_bytes_last() {
        let mut offered = [
            "application/octet-stream",
            "text/plain",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            "application/json-patch+json",
            "application/vnd.example+json; v=1",
            "application/merge-patch+json",
            "*/*",
            "application/json; charset=utf-8",
        ];
        offered.sort_by_key(|media_type| rank(media_type));
        assert_eq!(offered[0], "application/json; charset=utf-8");
        assert_eq!(offered[8], "application/octet-stream");
        assert_eq!(kind("application/soap+xml"), Kind::Text);
        assert_eq!(kind("image/png"), Kind::Bytes);
    }
}
