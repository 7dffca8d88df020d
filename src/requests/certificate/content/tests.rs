use std::sync::Arc;

use jiff::SignedDuration;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

use super::super::loaded::{Loaded, Unusable};
use super::super::make::apply;
use super::super::plan::Change;
use super::*;

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn names() -> BTreeSet<String> {
    ["op.ns.svc", "localhost", "10.0.0.1", "::1"].map(str::to_owned).into()
}

fn change(change: Change, before: Option<&Content>, now: i64) -> Content {
    apply(change, before, &names(), YEAR, at(now)).unwrap()
}

fn begin() -> Content {
    change(Change::Begin, None, 0)
}

/// What a client says that trusts this bundle.
fn verify(content: &Content, bundle: &str, host: &str, now: i64) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    let bundle = CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap);
    roots.add_parsable_certificates(bundle);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let (serving, _) = content.serving.as_ref().unwrap();
    let served = CertificateDer::from_pem_slice(serving.certificate.pem.as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at(now).as_second().unsigned_abs()));
    let host = ServerName::try_from(host).unwrap();
    let answer = verifier
        .build()
        .unwrap()
        .verify_server_cert(&served, &[], &host, &[], now);
    answer.map(drop)
}

#[test]
fn clients_accept_what_is_made() {
    let content = begin();
    for host in ["op.ns.svc", "localhost", "10.0.0.1", "::1"] {
        verify(&content, &content.bundle(), host, 0).unwrap();
    }
    // A clock that is behind or ahead a little, and the end.
    let day = 24 * 3600;
    verify(&content, &content.bundle(), "op.ns.svc", -299).unwrap();
    verify(&content, &content.bundle(), "op.ns.svc", 90 * day - 1).unwrap();
    verify(&content, &content.bundle(), "op.ns.svc", 90 * day + 1).unwrap_err();
    verify(&content, &content.bundle(), "other.ns.svc", 0).unwrap_err();
    let stranger = change(Change::Begin, None, 0);
    let refused = verify(&content, &stranger.bundle(), "op.ns.svc", 0);
    assert!(
        matches!(refused, Err(rustls::Error::InvalidCertificate(_))),
        "{refused:?}"
    );
}

#[test]
fn clients_of_old_and_new_bundles_accept_what_is_served_while_the_ca_changes() {
    let first = begin();
    let both = change(Change::NextAuthority, Some(&first), 1000);
    verify(&both, &first.bundle(), "op.ns.svc", 1000).unwrap();
    let promoted = change(Change::Promote, Some(&both), 5000);
    verify(&promoted, &both.bundle(), "op.ns.svc", 5000).unwrap();
    verify(&both, &promoted.bundle(), "op.ns.svc", 5000).unwrap(); // a replica that has not loaded it yet
    let refused = verify(&promoted, &first.bundle(), "op.ns.svc", 5000);
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(refused.unwrap_err(), unknown);
    let last = change(Change::DropFormer, Some(&promoted), 9000);
    assert_eq!(last.bundle(), promoted.authority.certificate.pem);
    verify(&last, &last.bundle(), "op.ns.svc", 9000).unwrap();
}

/// Else the next look would find other names or times, and make it again.
#[test]
fn what_is_stored_is_read_back_as_it_was() {
    let first = begin();
    let both = change(Change::NextAuthority, Some(&first), 1000);
    let promoted = change(Change::Promote, Some(&both), 5000);
    for content in [first, both, promoted] {
        let (read, damages) = Content::read(&content.data()).unwrap();
        assert_eq!(damages, []);
        assert_eq!(read.stored(), content.stored());
        assert_eq!(read.bundle(), content.bundle());
        let keys = |content: &Content| -> Vec<(String, String)> {
            let data = content.data().into_iter();
            data.map(|(key, value)| (key, value.expose_secret().to_owned()))
                .collect()
        };
        assert_eq!(keys(&read), keys(&content));
    }
}

#[test]
fn a_former_ca_leaves_no_key_behind() {
    let both = change(Change::NextAuthority, Some(&begin()), 1000);
    let old_key = both.authority.key.expose_secret().to_owned();
    let data = change(Change::Promote, Some(&both), 5000).data();
    assert!(data.values().all(|value| !value.expose_secret().contains(&old_key)));
}

fn damaged(edit: impl FnOnce(&mut Data)) -> Result<(Content, Vec<Damage>), Damage> {
    let mut data = change(Change::NextAuthority, Some(&begin()), 0).data();
    edit(&mut data);
    Content::read(&data)
}

#[test]
fn without_a_ca_nothing_can_be_kept() {
    let other = begin().data();
    let problem = |edit: &dyn Fn(&mut Data)| damaged(edit).unwrap_err();
    assert_eq!(problem(&|data| drop(data.remove("ca.crt"))), Damage::Missing("ca.crt"));
    assert_eq!(problem(&|data| drop(data.remove("ca.key"))), Damage::Missing("ca.key"));
    for text in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    ] {
        let damage = problem(&|data| drop(data.insert("ca.crt".to_owned(), text.into())));
        assert_eq!(damage, Damage::NoCertificate("ca.crt"), "{text}");
    }
    let (certificate, key) = ("ca.crt", "ca.key");
    for text in ["", "hello", other["ca.key"].expose_secret()] {
        let damage = problem(&|data| drop(data.insert("ca.key".to_owned(), text.into())));
        assert_eq!(damage, Damage::OtherKey { certificate, key }, "{text}");
    }
    let leaf = |data: &mut Data| {
        data.insert("ca.crt".to_owned(), data["tls.crt"].clone());
        data.insert("ca.key".to_owned(), data["tls.key"].clone());
    };
    assert_eq!(problem(&leaf), Damage::NoAuthority("ca.crt"));
}

#[test]
fn a_damaged_part_leaves_the_rest() {
    let other = begin().data();
    let (content, damages) = damaged(|data| drop(data.insert("tls.crt".to_owned(), other["tls.crt"].clone()))).unwrap();
    assert_eq!(damages, [Damage::OtherIssuer]);
    assert!(content.serving.is_none() && content.next.is_some());
    let (content, damages) = damaged(|data| drop(data.insert("tls.key".to_owned(), other["tls.key"].clone()))).unwrap();
    let (certificate, key) = ("tls.crt", "tls.key");
    assert_eq!(damages, [Damage::OtherKey { certificate, key }]);
    assert!(content.serving.is_none());
    let (content, damages) = damaged(|data| drop(data.remove("next-ca.key"))).unwrap();
    assert_eq!(damages, [Damage::Missing("next-ca.key")]);
    assert!(content.next.is_none() && content.serving.is_some());
    assert_eq!(
        content.former.len(),
        1,
        "it may be in use: it leaves as a former one does"
    );
}

#[test]
fn a_certificate_of_others_is_served_if_it_can_be() {
    let data = begin().data();
    let loaded = Loaded::read(&data, at(0)).unwrap();
    assert_eq!(loaded.not_after, at(90 * 24 * 3600));
    assert_eq!(loaded.ca_bundle.as_deref(), Some(data["ca.crt"].expose_secret()));
    assert!(loaded.covers("op.ns.svc") && loaded.covers("10.0.0.1"));
    assert!(!loaded.covers("op.other.svc"));
    let without = |key: &str| {
        let mut data = begin().data();
        data.remove(key);
        Loaded::read(&data, at(0))
    };
    assert_eq!(without("ca.crt").unwrap().ca_bundle, None);
    assert_eq!(without("tls.crt").unwrap_err(), Unusable::Missing("tls.crt"));
    let with = |key: &str, value: &str| {
        let mut data = begin().data();
        data.insert(key.to_owned(), value.into());
        Loaded::read(&data, at(0)).unwrap_err()
    };
    assert_eq!(with("tls.crt", "hello"), Unusable::Unreadable("tls.crt", "certificate"));
    assert_eq!(with("tls.key", ""), Unusable::Unreadable("tls.key", "private key"));
    assert_eq!(with("tls.key", data["tls.key"].expose_secret()), Unusable::OtherKey);
    let end = Loaded::read(&data, at(90 * 24 * 3600)).unwrap_err();
    assert_eq!(end, Unusable::Ended(at(90 * 24 * 3600)));
}
