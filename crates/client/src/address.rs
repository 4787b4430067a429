//! Where a gateway is, and whether a token may be sent there.

use std::net::IpAddr;

use reqwest::Url;

use crate::error::Error;

/// Reads a base address. Plain `http://` is taken for loopback only, unless `insecure`: elsewhere a token
/// would travel in the clear.
pub(crate) fn parse(base_url: &str, insecure: bool) -> Result<Url, Error> {
    let wrong = |why: &str| Error::Address { url: base_url.to_owned(), why: why.to_owned() };
    let mut url = Url::parse(base_url.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("credentials do not belong in an address; sign in instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    match url.scheme() {
        "https" => {}
        "http" if insecure || is_loopback(&url) => {}
        "http" => {
            return Err(wrong(
                "plain http:// is taken for loopback only, because the token would travel in the clear; \
                 use https://, or set `insecure = true` in this context if the network itself is trusted",
            ));
        }
        _ => return Err(wrong("it begins neither with https:// nor with http://")),
    }
    if url.host_str().is_none() {
        return Err(wrong("it names no host"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Whether the host is this machine itself.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_token_travels_in_the_clear_only_to_loopback_or_when_told() {
        for (url, insecure, taken) in [
            ("https://guichet.example", false, true),
            ("https://guichet.example/gate", false, true),
            ("http://127.0.0.1:8080", false, true),
            ("http://[::1]:8080", false, true),
            ("http://localhost:8080", false, true),
            ("http://guichet.example", false, false),
            ("http://guichet.example", true, true),
            ("http://127.0.0.1.example", false, false),
            ("ftp://guichet.example", true, false),
            ("https://dana:secret@guichet.example", false, false),
            ("guichet.example", false, false),
        ] {
            assert_eq!(parse(url, insecure).is_ok(), taken, "{url} insecure={insecure}");
        }
        assert_eq!(parse("https://guichet.example/gate", false).unwrap().path(), "/gate/");
    }
}
