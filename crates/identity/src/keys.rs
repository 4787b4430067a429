//! The gateway's own keys: PASETO v4.public (Ed25519), by which a provider knows that a call comes through the door.
//!
//! Several keys may hold at once: the first signs, all are published, so that keys rotate without a refused call.

use guichet_contract::{Clock, Digest, Principal};
use jiff::SignedDuration;
use pasetors::{
    claims::Claims,
    footer::Footer,
    keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey},
    paserk::{FormatAsPaserk, Id},
    public,
    version4::V4,
};
use serde_json::{Value, json};

/// How long a provider token holds, seconds.
pub const PROVIDER_TOKEN_SECONDS: i64 = 60;

/// What a provider is told about a call.
#[derive(Debug, Clone)]
pub struct ProviderClaims<'a> {
    /// The provider's name: the audience.
    pub provider: &'a str,
    /// Who calls.
    pub principal: &'a Principal,
    /// Where.
    pub environment: &'a str,
    /// The operation that may be performed with it.
    pub operation: &'a str,
    /// The run, for changes.
    pub run: Option<String>,
    /// Digest of the flat input, for changes.
    pub input: Option<Digest>,
    /// Digest of the journal that is handed over, for a run that goes on.
    pub journal: Option<Digest>,
    /// Digest of the plan that was approved.
    pub plan: Option<Digest>,
    /// Who approved.
    pub approved_by: &'a [String],
}

/// A key cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not a PASERK of the right kind.
    #[error(
        "a signing key is not of the form `k4.secret.…`: restore it from a backup, or remove it and restart for a new one"
    )]
    Malformed,
    /// No key at all.
    #[error("there is no signing key")]
    None,
    /// The library refuses.
    #[error("the token could not be signed: {0}")]
    Sign(String),
}

/// The keys in force, the signing one first.
pub struct KeyRing {
    keys: Vec<Key>,
}

struct Key {
    secret: AsymmetricSecretKey<V4>,
    public: AsymmetricPublicKey<V4>,
    id: String,
    footer: Footer,
}

impl KeyRing {
    /// From PASERK texts (`k4.secret.…`), the signing one first.
    ///
    /// # Errors
    /// [`KeysError::Malformed`], [`KeysError::None`].
    pub fn from_paserk(secrets: &[String]) -> Result<Self, KeysError> {
        let keys = secrets.iter().map(|text| Key::from_paserk(text)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self { keys }) }
    }

    /// A new secret as PASERK text.
    ///
    /// # Errors
    /// [`KeysError::Sign`] when the machine gives no randomness.
    pub fn generate_paserk() -> Result<String, KeysError> {
        use pasetors::keys::Generate;
        let pair = AsymmetricKeyPair::<V4>::generate().map_err(|error| KeysError::Sign(error.to_string()))?;
        let mut text = String::new();
        pair.secret.fmt(&mut text).map_err(|error| KeysError::Sign(error.to_string()))?;
        Ok(text)
    }

    /// Key ids and public keys, as PASERK texts, for `GET /v1/keys` and for embedded providers.
    pub fn public_keys(&self) -> Vec<(String, String)> {
        self.keys
            .iter()
            .filter_map(|key| {
                let mut text = String::new();
                key.public.fmt(&mut text).ok().map(|()| (key.id.clone(), text))
            })
            .collect()
    }

    /// A token for one provider and one operation, which holds 60 seconds.
    ///
    /// # Errors
    /// [`KeysError::Sign`].
    pub fn sign(&self, clock: &dyn Clock, about: &ProviderClaims<'_>) -> Result<String, KeysError> {
        let key = self.keys.first().ok_or(KeysError::None)?;
        let claims = claims(clock, about).map_err(|error| KeysError::Sign(error.to_string()))?;
        public::sign(&key.secret, &claims, Some(&key.footer), None)
            .map_err(|error| KeysError::Sign(error.to_string()))
    }
}

impl Key {
    fn from_paserk(text: &str) -> Result<Self, KeysError> {
        let secret = AsymmetricSecretKey::<V4>::try_from(text.trim()).map_err(|_| KeysError::Malformed)?;
        let public = AsymmetricPublicKey::<V4>::try_from(&secret).map_err(|_| KeysError::Malformed)?;
        let paserk_id = Id::from(&public);
        let mut id = String::new();
        paserk_id.fmt(&mut id).map_err(|_| KeysError::Malformed)?;
        let mut footer = Footer::new();
        footer.key_id(&paserk_id);
        Ok(Self { secret, public, id, footer })
    }
}

fn claims(clock: &dyn Clock, about: &ProviderClaims<'_>) -> Result<Claims, pasetors::errors::Error> {
    let now = clock.now();
    let mut claims = Claims::new()?;
    claims.issuer(&format!("guichet/{}", about.environment))?;
    claims.audience(about.provider)?;
    claims.subject(&about.principal.name)?;
    claims.issued_at(&format!("{now:.0}"))?;
    // A second of tolerance for clocks that are not quite the same.
    claims.not_before(&format!("{:.0}", now - SignedDuration::from_secs(1)))?;
    claims.expiration(&format!("{:.0}", now + SignedDuration::from_secs(PROVIDER_TOKEN_SECONDS)))?;
    claims.token_identifier(&clock.new_uuid().to_string())?;
    claims.add_additional("kind", json!(about.principal.kind))?;
    claims.add_additional("teams", json!(about.principal.teams))?;
    claims.add_additional("environment", about.environment)?;
    claims.add_additional("action", about.operation)?;
    let optional: [(&str, Option<Value>); 6] = [
        ("agent", about.principal.agent.as_deref().map(Value::from)),
        ("run", about.run.as_deref().map(Value::from)),
        ("input", about.input.as_ref().map(|digest| Value::from(digest.as_str()))),
        ("journal", about.journal.as_ref().map(|digest| Value::from(digest.as_str()))),
        ("plan", about.plan.as_ref().map(|digest| Value::from(digest.as_str()))),
        ("approved_by", (!about.approved_by.is_empty()).then(|| json!(about.approved_by))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            claims.add_additional(name, value)?;
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guichet_contract::SystemClock;
    use pasetors::{Public, claims::ClaimsValidationRules, token::UntrustedToken};

    #[test]
    fn a_provider_can_check_the_token_with_the_published_key_and_no_other() {
        let ring = KeyRing::from_paserk(&[KeyRing::generate_paserk().unwrap()]).unwrap();
        let other = KeyRing::from_paserk(&[KeyRing::generate_paserk().unwrap()]).unwrap();
        let principal = Principal::person("dana").in_teams(["checkout"]);
        let about = ProviderClaims {
            provider: "postgres",
            principal: &principal,
            environment: "staging",
            operation: "cancel-query",
            run: Some("r".into()),
            input: None,
            journal: None,
            plan: None,
            approved_by: &["omar".to_owned()],
        };
        let token = ring.sign(&SystemClock, &about).unwrap();
        let untrusted = UntrustedToken::<Public, V4>::try_from(&token).unwrap();
        let mut rules = ClaimsValidationRules::new();
        rules.validate_audience_with("postgres");
        let key =
            |ring: &KeyRing| AsymmetricPublicKey::<V4>::try_from(ring.public_keys()[0].1.as_str()).unwrap();
        let trusted = public::verify(&key(&ring), &untrusted, &rules, None, None).unwrap();
        let claims = trusted.payload_claims().unwrap();
        assert_eq!(claims.get_claim("approved_by").unwrap(), &json!(["omar"]));
        assert!(claims.get_claim("agent").is_none());
        assert!(public::verify(&key(&other), &untrusted, &rules, None, None).is_err());
        let footer = String::from_utf8(trusted.footer().to_vec()).unwrap();
        assert!(footer.contains(&ring.public_keys()[0].0), "{footer}");
        rules.validate_audience_with("kafka");
        assert!(public::verify(&key(&ring), &untrusted, &rules, None, None).is_err());
    }
}
