//! Providers that registered themselves: one value each, changed by whoever saw it last.

use std::sync::Arc;

use guichet_contract::{Digest, Instance, Registration, Service};
use tokio::sync::broadcast::error::TryRecvError;

use super::{Premises, fixtures::*};
use crate::{Change, UnitOfWork, Wake};

fn put(registration: &Registration) -> Change {
    Change::PutRegistration(Box::new(registration.clone()))
}

pub async fn a_registration_reads_as_it_was_written(premises: &impl Premises) {
    let store = premises.open().await;
    let kept = registration_of("shop");
    store.commit(unit(put(&kept))).await.unwrap();
    assert_eq!(store.registration("shop").await.unwrap(), Some(kept.clone()));
    assert_eq!(store.registration("Shop").await.unwrap(), None);
    let instances = vec![Instance { until: second(90), ..kept.instances[0].clone() }];
    let later = Registration { revision: 2, left_at: Some(second(7)), instances, ..kept };
    store.commit(unit(put(&later))).await.unwrap();
    let service = Service {
        openapi: "https://mail.internal:443/openapi.json?v=3".into(),
        url: "https://mail.internal:443/v3".into(),
        credential: Some("mail".into()),
        overlay: Some("overlay: 1.0.0\ninfo: {title: \"Grüße\", version: '1'}\nactions: []\n".into()),
    };
    let added = Registration {
        instances: Vec::new(),
        service: Some(service),
        document: Some(Digest::of_bytes(b"{}")),
        ..registration_of("mail")
    };
    store.commit(unit(put(&added))).await.unwrap();
    drop(store);
    let store = premises.open().await;
    assert_eq!(store.registration("shop").await.unwrap(), Some(later));
    assert_eq!(store.registration("mail").await.unwrap(), Some(added));
}

pub async fn of_many_who_take_a_name_one_wins(premises: &impl Premises) {
    let store = premises.open().await;
    let takers = (0..20).map(|number| {
        let store = Arc::clone(&store);
        let taken = Registration { owner: format!("service-{number}"), ..registration_of("shop") };
        async move { store.commit(unit(put(&taken))).await }
    });
    assert_eq!(wins(at_once(takers).await), 1);
    let now = store.registration("shop").await.unwrap().unwrap();
    // Nor does anything else of a unit come true that saw it as it was before.
    conflict(store.commit(UnitOfWork::new().append_record(numbered_record(1)).with(put(&now))).await);
    assert_eq!(store.record_count().await.unwrap(), 0);
    conflict(store.commit(unit(put(&Registration { revision: 3, ..now.clone() }))).await);
    store.commit(unit(put(&Registration { revision: 2, ..now }))).await.unwrap();
    conflict(store.commit(unit(put(&Registration { revision: 2, ..registration_of("none") }))).await);
}

pub async fn registrations_are_listed_by_provider(premises: &impl Premises) {
    let store = premises.open().await;
    for name in ["b", "a-1", "a", "c"] {
        store.commit(unit(put(&registration_of(name)))).await.unwrap();
    }
    let names = async |limit: usize| {
        let found = store.registrations(limit).await.unwrap();
        found.into_iter().map(|registration| registration.provider).collect::<Vec<_>>()
    };
    assert_eq!(names(10).await, ["a", "a-1", "b", "c"]);
    assert_eq!(names(2).await, ["a", "a-1"]);
}

pub async fn a_removed_registration_frees_its_name(premises: &impl Premises) {
    let store = premises.open().await;
    let delete = |revision| unit(Change::DeleteRegistration { provider: "shop".to_owned(), revision });
    store.commit(unit(put(&registration_of("shop")))).await.unwrap();
    conflict(store.commit(delete(2)).await);
    store.commit(delete(1)).await.unwrap();
    conflict(store.commit(delete(1)).await);
    assert_eq!(store.registration("shop").await.unwrap(), None);
    store.commit(unit(put(&registration_of("shop")))).await.unwrap();
}

pub async fn whoever_waits_for_registrations_is_woken(premises: &impl Premises) {
    let store = premises.open().await;
    let mut wakes = store.wakes();
    store.commit(unit(put(&registration_of("shop")))).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), Wake::Registration);
    conflict(store.commit(unit(put(&registration_of("shop")))).await);
    // A unit behind it proves that it was dealt with.
    store.check_writable().await.unwrap();
    assert!(matches!(wakes.try_recv(), Err(TryRecvError::Empty)));
    let gone = Change::DeleteRegistration { provider: "shop".to_owned(), revision: 1 };
    store.commit(unit(gone)).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), Wake::Registration);
}
