//! Proof that a call comes from the gateway: a PASETO v4.public token of at most a minute.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use guichet_contract::{Clock, Digest, Principal, PrincipalKind, Problem, code};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use pasetors::{
    token::{Public, UntrustedToken},
    version4::{PublicToken, V4},
};
use serde::Deserialize;

use crate::keys::{Found, Keys, PublicKey};

/// How far the gateway's clock and ours may be apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(5);
/// Tokens whose signature was checked before; the gateway reuses a reader's token for up to 30 s.
const REMEMBERED: usize = 1_024;

/// What the gateway says about a call.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) nbf: Timestamp,
    pub(crate) exp: Timestamp,
    pub(crate) kind: PrincipalKind,
    #[serde(default)]
    pub(crate) teams: BTreeSet<String>,
    #[serde(default)]
    pub(crate) agent: Option<String>,
    pub(crate) environment: String,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) run: Option<String>,
    #[serde(default)]
    pub(crate) input: Option<Digest>,
    #[serde(default)]
    pub(crate) journal: Option<Digest>,
    #[serde(default)]
    pub(crate) approved_by: Vec<String>,
}

impl Claims {
    pub(crate) fn principal(&self) -> Principal {
        Principal {
            kind: self.kind,
            name: self.sub.clone(),
            teams: self.teams.clone(),
            agent: self.agent.clone(),
        }
    }

    /// For [`Keys::insecure_for_bench`]: nobody's word, marked as such.
    pub(crate) fn of_nobody(now: Timestamp, provider: &str, action: &str, run: Option<&str>) -> Self {
        Self {
            iss: "nobody".to_owned(),
            aud: provider.to_owned(),
            sub: "nobody".to_owned(),
            nbf: now,
            exp: now,
            kind: PrincipalKind::Person,
            teams: BTreeSet::new(),
            agent: None,
            environment: "bench".to_owned(),
            action: action.to_owned(),
            run: run.map(str::to_owned),
            input: None,
            journal: None,
            approved_by: Vec::new(),
        }
    }
}

/// Checks tokens for one provider.
pub(crate) struct Verifier {
    provider: String,
    keys: Keys,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<String, (PublicKey, Arc<Claims>)>>,
}

#[derive(Deserialize)]
struct Footer {
    kid: String,
}

impl Verifier {
    pub(crate) fn new(provider: String, keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { provider, keys, clock, remembered: Mutex::default() }
    }

    /// Whether no token is asked for at all.
    pub(crate) fn believes_anyone(&self) -> bool {
        self.keys.is_anyone()
    }

    pub(crate) fn nobody(&self, action: &str, run: Option<&str>) -> Arc<Claims> {
        Arc::new(Claims::of_nobody(self.clock.now(), &self.provider, action, run))
    }

    /// The claims of a call's token, when it was signed by the gateway for this provider, this operation
    /// and this moment.
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        operation: &str,
    ) -> Result<Arc<Claims>, Box<Problem>> {
        let token = bearer(headers)?;
        let untrusted = UntrustedToken::<Public, V4>::try_from(token)
            .map_err(|_| denied("the credentials are no PASETO v4.public token"))?;
        let footer: Footer = serde_json::from_slice(untrusted.untrusted_footer())
            .map_err(|_| denied("the token's footer names no key (`kid`)"))?;
        let key = match self.keys.find(&footer.kid, &*self.clock).await {
            Found::Key(key) => key,
            Found::NoSuchKey => {
                return Err(denied(format!(
                    "the token is signed with key {}, which is not the gateway's",
                    footer.kid
                )));
            }
            Found::CannotAsk(why) => {
                // Another process may have them, and so may this one in a moment: surely nothing was done.
                let problem =
                    Problem::new(code::PROVIDER_BUSY, format!("the gateway's keys cannot be had: {why}"));
                return Err(problem.next("try again when the provider can reach the gateway").into());
            }
        };
        let claims = self.signed(token, &untrusted, key)?;
        self.applies(&claims, operation)?;
        Ok(claims)
    }

    fn signed(
        &self,
        token: &str,
        untrusted: &UntrustedToken<Public, V4>,
        key: PublicKey,
    ) -> Result<Arc<Claims>, Box<Problem>> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((signer, claims)) = remembered.get(token)
            && Arc::ptr_eq(signer, &key)
        {
            return Ok(Arc::clone(claims));
        }
        drop(remembered);
        let trusted = PublicToken::verify(&key, untrusted, None, None)
            .map_err(|_| denied("the token's signature does not hold"))?;
        let claims: Arc<Claims> = serde_json::from_str(trusted.payload())
            .map(Arc::new)
            .map_err(|error| denied(format!("the token's claims cannot be read: {error}")))?;
        // A change's token is used once; only those of reads are worth a place.
        if claims.run.is_none() {
            remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() >= REMEMBERED {
                let now = self.clock.now();
                remembered.retain(|_, (_, claims)| claims.exp > now);
            }
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(token.to_owned(), (key, Arc::clone(&claims)));
        }
        Ok(claims)
    }

    fn applies(&self, claims: &Claims, operation: &str) -> Result<(), Box<Problem>> {
        if claims.aud != self.provider {
            return Err(denied(format!(
                "the token is for provider `{}`; this is `{}`",
                claims.aud, self.provider
            )));
        }
        if let Some(issuer) = self.keys.issuer()
            && claims.iss != issuer
        {
            return Err(denied(format!(
                "the token is issued by `{}`; this provider serves `{issuer}`",
                claims.iss
            )));
        }
        if claims.action != operation {
            return Err(denied(format!(
                "the token is for operation `{}`, the call for `{operation}`",
                claims.action
            )));
        }
        let now = self.clock.now();
        if claims.exp.duration_since(now) <= -CLOCKS_APART {
            return Err(denied(format!("the token expired at {}", claims.exp)));
        }
        if claims.nbf.duration_since(now) > CLOCKS_APART {
            return Err(denied(format!("the token holds only from {} on; compare the clocks", claims.nbf)));
        }
        Ok(())
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Box<Problem>> {
    let mut all = headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(Problem::new(code::NOT_SIGNED_IN, "the call carries no token of the gateway")
            .next("call the action through the gateway")
            .into());
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| denied("the header Authorization is not of the form `Bearer TOKEN`"))
}

/// A refusal of credentials, with its reason.
pub(crate) fn denied(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code::INVALID_CREDENTIALS, detail).next("call the action through the gateway"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::Value;

    use super::*;

    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
        fn new_uuid(&self) -> uuid::Uuid {
            uuid::Uuid::nil()
        }
    }

    #[tokio::test]
    async fn the_token_of_the_page_is_believed_for_what_it_says_and_nothing_else() {
        let all: Value = serde_json::from_str(include_str!("../../../sdks/vectors.json")).unwrap();
        let told = &all["token"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let bearer = HeaderValue::try_from(format!("Bearer {}", text(&told["token"]))).unwrap();
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)]);
        let at: Timestamp = text(&told["at"]).parse().unwrap();
        let check = async |provider: &str, operation: &str, at: Timestamp| {
            let keys = Keys::fixed([text(&told["public"])]).unwrap();
            Verifier::new(provider.to_owned(), keys, Arc::new(At(at))).check(&headers, operation).await
        };
        let said = &told["claims"];
        let claims = check("greeter", "say-hello", at).await.unwrap();
        let (principal, texts) = (claims.principal(), |name: &str| {
            let listed = said[name].as_array().unwrap().iter();
            listed.map(text).collect::<Vec<_>>()
        });
        assert_eq!((claims.iss.as_str(), claims.aud.as_str()), (text(&said["iss"]).as_str(), "greeter"));
        assert_eq!((principal.name, principal.kind), (text(&said["sub"]), PrincipalKind::Person));
        assert_eq!(principal.teams.into_iter().collect::<Vec<_>>(), texts("teams"));
        assert_eq!(claims.approved_by, texts("approved_by"));
        assert_eq!(claims.environment, text(&said["environment"]));
        assert_eq!(
            (claims.nbf.to_string(), claims.exp.to_string()),
            (text(&said["nbf"]), text(&said["exp"]))
        );
        assert_eq!(claims.run, Some(text(&said["run"])));
        assert_eq!(claims.input, Some(Digest::of_json(&told["input"])));
        assert_eq!(claims.input.as_ref().map(Digest::as_str), said["input"].as_str());
        let minutes = |count| at + SignedDuration::from_mins(count);
        for (provider, operation, at) in [
            ("other", "say-hello", at),
            ("greeter", "say-goodbye", at),
            ("greeter", "say-hello", minutes(1)),
            ("greeter", "say-hello", minutes(-1)),
        ] {
            let problem = check(provider, operation, at).await.unwrap_err();
            assert_eq!(problem.status, 401, "{provider} {operation} {at}: {problem:?}");
        }
    }
}
