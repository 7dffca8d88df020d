//! Whose a Secret is.

use super::*;

#[test]
fn whose_it_is() {
    let mine = owner("RealtimeToken", NAME_OF_TOKEN, UID, true);
    let earlier = owner("RealtimeToken", NAME_OF_TOKEN, "earlier", true);
    let sibling = owner("RealtimeToken", "other", "sibling", true);
    let cert_manager = owner("Certificate", NAME_OF_TOKEN, "c", true);
    let app = owner("Deployment", "app", "d", false); // owns it and doesn't control it
    let same_uid_uncontrolled = owner("RealtimeToken", NAME_OF_TOKEN, UID, false);
    let our_labels = json!({MANAGED_BY: MANAGER, NAME: NAME_OF_TOKEN});
    let other_name = json!({MANAGED_BY: MANAGER, NAME: "other"});
    let no_name = json!({MANAGED_BY: MANAGER});
    let name_only = json!({NAME: NAME_OF_TOKEN});
    let by_helm = json!({MANAGED_BY: "Helm", NAME: NAME_OF_TOKEN});
    let none = json!({});
    let ours = Ok(());
    let cases = [
        ("ours", json!([mine]), &our_labels, ours),
        ("ours by uid, whatever the labels", json!([mine]), &none, ours),
        ("ours, labelled otherwise", json!([mine]), &other_name, ours),
        ("ours among owners", json!([app, mine]), &our_labels, ours),
        (
            "of a predecessor",
            json!([earlier]),
            &our_labels,
            Err("an earlier RealtimeToken voice, whose deletion is under way"),
        ),
        (
            "of another RealtimeToken",
            json!([sibling]),
            &other_name,
            Err("controlled by RealtimeToken other"),
        ),
        (
            "another's, our labels",
            json!([sibling]),
            &our_labels,
            Err("controlled by RealtimeToken other"),
        ),
        (
            "another controller",
            json!([cert_manager]),
            &none,
            Err("controlled by Certificate voice"),
        ),
        (
            "another controller, our labels",
            json!([cert_manager]),
            &our_labels,
            Err("controlled by Certificate voice"),
        ),
        ("retained", json!([]), &our_labels, ours),
        ("retained, owned by an app", json!([app]), &our_labels, ours),
        ("retained, our label rewritten by a policy", json!([]), &by_helm, ours),
        ("uncontrolled", json!([same_uid_uncontrolled]), &our_labels, ours),
        (
            "retained from another name",
            json!([]),
            &other_name,
            Err("written for RealtimeToken other"),
        ),
        (
            "without a name",
            json!([]),
            &no_name,
            Err("written for RealtimeToken of another name"),
        ),
        ("a stranger", json!([]), &none, Err("not created by this operator")),
        (
            "a stranger with our name",
            json!([]),
            &name_only,
            Err("not created by this operator"),
        ),
        ("Helm's", json!([]), &by_helm, Err("not created by this operator")),
        (
            "a stranger, owned by an app",
            json!([app]),
            &none,
            Err("not created by this operator"),
        ),
        (
            "a uid without control proves nothing",
            json!([same_uid_uncontrolled]),
            &none,
            Err("not created by this operator"),
        ),
    ];
    for (case, owners, labels, expected) in cases {
        let mut secret = secret();
        secret["ownerReferences"] = owners;
        secret["labels"] = labels.clone();
        if expected == Err("not created by this operator") {
            secret["annotations"] = json!({});
        }
        for target in [Target::default(), retained()] {
            let found = match seen(&secret, &target) {
                TargetState::Ours(_) => Ok(()),
                TargetState::Foreign(whose) => Err(whose),
                TargetState::Absent => panic!("{case}: absent"),
            };
            assert_eq!(found, expected.map_err(str::to_owned), "{case}");
        }
    }
}
