//! What a provider's word that it is there does to its registration, and what its farewell does; and what adding a service
//! does.

use guichet_contract::{Digest, Instance, Principal, Registration, Service};
use jiff::{SignedDuration, Timestamp};

/// The shortest and the longest lease, seconds.
pub const LEASE_SECONDS: (u32, u32) = (10, 300);
/// Instances of one provider at once.
pub const INSTANCES_MAX: usize = 100;
/// So long an instance whose lease ran out is still listed.
const LISTED: SignedDuration = SignedDuration::from_mins(10);

/// What an instance says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Presence<'a> {
    /// The provider that it answers for.
    pub provider: &'a str,
    /// Its id.
    pub instance: &'a str,
    /// Where its paths begin.
    pub url: &'a str,
    /// The `ETag` of its document.
    pub document: Option<&'a str>,
    /// How long it shall be believed, seconds.
    pub lease_seconds: u32,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The registration as it is from now on.
    pub registration: Registration,
    /// Whether more than the end of a lease is new.
    pub is_news: bool,
}

/// Why an instance is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// The name is somebody else's.
    #[error("the name belongs to {0}")]
    OfAnother(String),
    /// There are as many instances as there may be.
    #[error("{INSTANCES_MAX} instances answer for it already")]
    TooMany,
    /// The name is that of a service that was added, or of a provider that registers itself: one or the other.
    #[error("the name is that of {0}")]
    OfAnotherKind(&'static str),
}

/// An instance says that it is there: for the first time, once more, or with something new. The name is its caller's from
/// the first time on. An address is one instance's: who comes with it takes the place of who had it.
///
/// # Errors
/// The name is another's or that of a service that was added, or there are too many instances.
pub fn register(
    known: Option<&Registration>,
    caller: &Principal,
    presence: &Presence<'_>,
    now: Timestamp,
) -> Result<Registered, NotRegistered> {
    if let Some(other) = known.filter(|known| !known.is_of(caller)) {
        return Err(NotRegistered::OfAnother(other.owner.clone()));
    }
    if known.is_some_and(|known| known.service.is_some()) {
        return Err(NotRegistered::OfAnotherKind("a service that was added"));
    }
    let mut registration = known.cloned().unwrap_or_else(|| first(presence.provider, caller, now));
    registration.revision += 1;
    let lease = SignedDuration::from_secs(presence.lease_seconds.into());
    let mut instance = Instance {
        id: presence.instance.to_owned(),
        url: presence.url.to_owned(),
        document: presence.document.map(str::to_owned),
        since: now,
        until: now.saturating_add(lease).unwrap_or(Timestamp::MAX),
    };
    let before = registration.instances.iter().find(|other| {
        other.id == instance.id
            && other.url == instance.url
            && other.document == instance.document
            && other.is_live(now)
    });
    let is_news = before.is_none();
    if let Some(before) = before {
        instance.since = before.since;
    }
    let (id, url) = (instance.id.clone(), instance.url.clone());
    forget(&mut registration, now, |other| other.id == id || other.url == url || is_old(other, now));
    if registration.live(now).count() >= INSTANCES_MAX {
        return Err(NotRegistered::TooMany);
    }
    registration.instances.push(instance);
    registration.instances.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Registered { registration, is_news })
}

fn first(provider: &str, caller: &Principal, now: Timestamp) -> Registration {
    Registration {
        provider: provider.to_owned(),
        owner_kind: caller.kind,
        owner: caller.name.clone(),
        revision: 0,
        registered_at: now,
        left_at: None,
        instances: Vec::new(),
        service: None,
        document: None,
    }
}

/// A service is added, or what was added under its name is replaced by it. The name is its caller's from the first time on. None
/// when it is as before, its document too: then there is nothing to write.
///
/// # Errors
/// The name is another's, or that of a provider that registers itself.
pub fn add(
    known: Option<&Registration>,
    caller: &Principal,
    provider: &str,
    service: &Service,
    document: &Digest,
    now: Timestamp,
) -> Result<Option<Registration>, NotRegistered> {
    if let Some(other) = known.filter(|known| !known.is_of(caller)) {
        return Err(NotRegistered::OfAnother(other.owner.clone()));
    }
    if known.is_some_and(|known| known.service.is_none()) {
        return Err(NotRegistered::OfAnotherKind("a provider that registers itself"));
    }
    let is_same = |known: &Registration| {
        known.service.as_ref() == Some(service) && known.document.as_ref() == Some(document)
    };
    if known.is_some_and(is_same) {
        return Ok(None);
    }
    let mut registration = known.cloned().unwrap_or_else(|| first(provider, caller, now));
    registration.revision += 1;
    registration.service = Some(service.clone());
    registration.document = Some(document.clone());
    Ok(Some(registration))
}

/// An instance leaves: it is called no more. None when there is no such instance.
pub fn leave(known: &Registration, instance: &str, now: Timestamp) -> Option<Registration> {
    known.instances.iter().find(|other| other.id == instance)?;
    let mut registration = known.clone();
    registration.revision += 1;
    forget(&mut registration, now, |other| other.id == instance || is_old(other, now));
    Some(registration)
}

fn is_old(instance: &Instance, now: Timestamp) -> bool {
    now.duration_since(instance.until) > LISTED
}

/// Forgets these, but not when the last of them was there.
fn forget(registration: &mut Registration, now: Timestamp, whom: impl Fn(&Instance) -> bool) {
    let (gone, kept) = registration.instances.drain(..).partition(|instance| whom(instance));
    registration.instances = kept;
    let gone: Vec<Instance> = gone;
    let ended = gone.iter().map(|instance| instance.until.min(now));
    registration.left_at = ended.chain(registration.left_at).max();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn presence(instance: &'static str) -> Presence<'static> {
        let url = if instance == "a" { "http://10.0.0.1:7100" } else { "http://10.0.0.2:7100" };
        Presence { provider: "shop", instance, url, document: Some("\"1\""), lease_seconds: 30 }
    }

    fn registered(known: Option<&Registration>, presence: &Presence<'_>, now: i64) -> Registered {
        register(known, &Principal::person("ada"), presence, at(now)).unwrap()
    }

    #[test]
    fn a_name_is_the_first_ones_and_a_heartbeat_is_no_news() {
        let first = registered(None, &presence("a"), 0);
        assert!(first.is_news);
        let again = registered(Some(&first.registration), &presence("a"), 10);
        assert!(!again.is_news);
        let kept = &again.registration;
        assert_eq!((kept.revision, kept.registered_at), (2, at(0)));
        assert_eq!((kept.instances[0].since, kept.instances[0].until), (at(0), at(40)));
        let stranger = register(Some(kept), &Principal::person("eve"), &presence("b"), at(11));
        assert_eq!(stranger, Err(NotRegistered::OfAnother("ada".to_owned())));
    }

    #[test]
    fn who_was_gone_or_has_another_document_is_news() {
        let first = registered(None, &presence("a"), 0).registration;
        assert_eq!((first.absent_since(at(29)), first.absent_since(at(30))), (None, Some(at(30))));
        let back = registered(Some(&first), &presence("a"), 31);
        assert!(back.is_news);
        assert_eq!(back.registration.instances[0].since, at(31));
        let other = Presence { document: Some("\"2\""), ..presence("a") };
        assert!(registered(Some(&back.registration), &other, 32).is_news);
    }

    #[test]
    fn an_address_is_one_instances() {
        let first = registered(None, &presence("a"), 0).registration;
        let restarted = Presence { instance: "c", ..presence("a") };
        let then = registered(Some(&first), &restarted, 5).registration;
        let ids: Vec<&str> = then.instances.iter().map(|instance| instance.id.as_str()).collect();
        assert_eq!(ids, ["c"]);
    }

    #[test]
    fn who_leaves_is_gone_at_once_and_the_others_stay() {
        let one = registered(None, &presence("a"), 0).registration;
        let two = registered(Some(&one), &presence("b"), 1).registration;
        assert_eq!(leave(&two, "c", at(2)), None);
        let left = leave(&two, "a", at(2)).unwrap();
        assert_eq!((left.instances.len(), left.absent_since(at(2))), (1, None));
        let empty = leave(&left, "b", at(3)).unwrap();
        assert_eq!((empty.absent_since(at(9)), empty.revision), (Some(at(3)), 4));
        // What was long ago is forgotten, and when it was is not.
        let late = leave(&two, "b", at(2_000)).unwrap();
        assert_eq!((late.instances.len(), late.absent_since(at(2_000))), (0, Some(at(31))));
    }

    #[test]
    fn a_service_is_its_owners_to_replace_and_registers_nothing() {
        let service = |url: &str| Service {
            openapi: "http://10.0.0.1:80/openapi.json".to_owned(),
            url: url.to_owned(),
            credential: None,
            overlay: None,
        };
        let (one, other) = (service("http://10.0.0.1:80"), service("http://10.0.0.1:80/v2"));
        let (old, new) = (Digest::of_bytes(b"old"), Digest::of_bytes(b"new"));
        let (ada, eve) = (Principal::person("ada"), Principal::person("eve"));
        let added = add(None, &ada, "shop", &one, &old, at(0)).unwrap().unwrap();
        assert_eq!((added.revision, added.owner.as_str(), added.absent_since(at(9))), (1, "ada", None));
        assert_eq!(add(Some(&added), &ada, "shop", &one, &old, at(1)), Ok(None));
        for (service, document) in [(&one, &new), (&other, &old)] {
            let replaced = add(Some(&added), &ada, "shop", service, document, at(2)).unwrap().unwrap();
            assert_eq!((replaced.revision, replaced.registered_at), (2, at(0)));
            assert_eq!(
                (replaced.service.as_ref(), replaced.document.as_ref()),
                (Some(service), Some(document))
            );
        }
        let stranger = add(Some(&added), &eve, "shop", &one, &old, at(2));
        assert_eq!(stranger, Err(NotRegistered::OfAnother("ada".to_owned())));
        // One name is never both.
        assert!(matches!(
            register(Some(&added), &ada, &presence("a"), at(3)),
            Err(NotRegistered::OfAnotherKind(_))
        ));
        let registered = registered(None, &presence("a"), 0).registration;
        assert!(matches!(
            add(Some(&registered), &ada, "shop", &one, &old, at(3)),
            Err(NotRegistered::OfAnotherKind(_))
        ));
    }

    #[test]
    fn there_are_not_too_many() {
        let mut known = None;
        let names: Vec<String> = (0..=INSTANCES_MAX).map(|number| format!("i{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            let url = format!("http://10.0.0.3:{number}");
            let presence = Presence { instance: name, url: &url, ..presence("a") };
            let came = register(known.as_ref(), &Principal::person("ada"), &presence, at(0));
            assert_eq!(came.is_ok(), number < INSTANCES_MAX, "{number}");
            known = came.map(|came| came.registration).ok().or(known);
        }
    }
}
