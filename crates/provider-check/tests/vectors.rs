//! What gateway and providers must write alike: the vectors that the tests of every SDK hold too.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use guichet_contract::{Digest, digest::canonical_json};
use pasetors::{
    keys::{AsymmetricPublicKey, AsymmetricSecretKey},
    paserk::{FormatAsPaserk as _, Id},
    token::{Public, UntrustedToken},
    version4::{PublicToken, V4},
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../sdks/vectors.json")).unwrap()
}

#[test]
fn json_is_written_in_one_way() {
    let vectors = vectors();
    let cases = vectors["canonical"].as_array().unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let text = case["json"].as_str().unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical_json(&value), case["canonical"].as_str().unwrap(), "{text}");
        assert_eq!(Digest::of_json(&value).as_str(), case["digest"].as_str().unwrap(), "{text}");
    }
    for text in vectors["not_json"].as_array().unwrap() {
        assert!(serde_json::from_str::<Value>(text.as_str().unwrap()).is_err(), "{text}");
    }
}

#[test]
fn the_token_of_the_page_holds() {
    let told = &vectors()["token"];
    let key = AsymmetricPublicKey::<V4>::try_from(told["public"].as_str().unwrap()).unwrap();
    let mut kid = String::new();
    Id::from(&key).fmt(&mut kid).unwrap();
    assert_eq!(kid, told["kid"].as_str().unwrap());
    let token = UntrustedToken::<Public, V4>::try_from(told["token"].as_str().unwrap()).unwrap();
    let trusted = PublicToken::verify(&key, &token, None, None).unwrap();
    let claims: Value = serde_json::from_str(trusted.payload()).unwrap();
    assert_eq!(claims, told["claims"]);
    assert_eq!(claims["input"], Digest::of_json(&told["input"]).as_str());
    // A signature of this kind is the same each time: whoever has the seed comes to this very token.
    let seed = told["seed"].as_str().unwrap();
    let seed = (0..seed.len()).step_by(2).map(|at| u8::from_str_radix(&seed[at..at + 2], 16).unwrap());
    let both: Vec<u8> = seed.chain(key.as_bytes().iter().copied()).collect();
    let secret = AsymmetricSecretKey::<V4>::from(&both).unwrap();
    let payload = trusted.payload().as_bytes();
    let signed = PublicToken::sign(&secret, payload, Some(trusted.footer()), None).unwrap();
    assert_eq!(signed, told["token"].as_str().unwrap());
    let moment = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!((moment(&claims["nbf"])..moment(&claims["exp"])).contains(&moment(&told["at"])));
    let page = include_str!("../../../docs/provider-protocol.md");
    for quoted in [&told["public"], &told["kid"], &told["token"], &claims["input"]] {
        assert!(page.contains(quoted.as_str().unwrap()), "the page does not say {quoted}");
    }
}
