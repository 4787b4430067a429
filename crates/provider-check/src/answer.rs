//! What a provider answered, and what is to be said when it is not what the page asks for.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// How much of a body is shown.
const SHOWN: usize = 600;

/// Why a case does not pass.
#[derive(Debug)]
pub(crate) enum Not {
    /// It cannot be tried here.
    Skipped(String),
    /// The provider does not do as the page says.
    Held {
        /// The call.
        sent: String,
        /// What should have come.
        expected: String,
        /// What came.
        came: String,
    },
}

impl Not {
    pub(crate) fn held(sent: &str, expected: &str, came: &str) -> Self {
        Self::Held { sent: sent.to_owned(), expected: expected.to_owned(), came: came.to_owned() }
    }
}

/// One answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// That something else was expected.
    pub(crate) fn not(&self, expected: &str) -> Not {
        Not::held(&self.sent, expected, &self.came())
    }

    fn came(&self) -> String {
        let kind = self.kind();
        let kind = if kind.is_empty() { String::new() } else { format!(", {kind}") };
        let body = String::from_utf8_lossy(&self.body);
        let shown: String = body.chars().take(SHOWN).collect();
        format!("{}{kind}: {shown}", self.status)
    }

    pub(crate) fn kind(&self) -> &str {
        self.header("content-type").unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The result of what was done.
    pub(crate) fn result(&self, what: &str) -> Result<Value, Not> {
        let expected = format!("2xx and {what} as JSON");
        match self.status {
            204 => Ok(Value::Null),
            200..=299 => self.json().ok_or_else(|| self.not(&expected)),
            _ => Err(self.not(&expected)),
        }
    }

    /// A problem of one of these statuses, in the form that says «not done».
    pub(crate) fn problem(&self, statuses: &[u16], what: &str) -> Result<Value, Not> {
        let named: Vec<String> = statuses.iter().map(ToString::to_string).collect();
        let expected = format!("{} as application/problem+json: {what}", named.join(" or "));
        if !statuses.contains(&self.status) || !self.kind().starts_with("application/problem+json") {
            return Err(self.not(&expected));
        }
        let problem = self.json().filter(Value::is_object).ok_or_else(|| self.not(&expected))?;
        let has = |name: &str| problem.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if !has("detail") && !has("title") {
            return Err(self.not(&format!("{expected}, with `detail` or `title`")));
        }
        Ok(problem)
    }

    /// 401, which is all that a token that does not hold gets.
    pub(crate) fn denied(&self, why: &str) -> Result<(), Not> {
        if self.status == 401 { Ok(()) } else { Err(self.not(&format!("401: {why}"))) }
    }

    /// That nobody knows whether it was done: no 2xx, no 4xx but 408, no problem.
    pub(crate) fn is_unknown(&self) -> bool {
        let not_done = (400..500).contains(&self.status) && self.status != 408;
        let problem = self.kind().starts_with("application/problem+json");
        !(200..300).contains(&self.status) && !not_done && !problem
    }
}
