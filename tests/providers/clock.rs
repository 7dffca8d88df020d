//! Expiries and clocks that differ.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testkit::standin::Provider;

use crate::{client, conversation, credential, elevenlabs, openai, start};

/// Close enough for a `Date` of whole seconds and a machine under load.
fn assert_close(left: Timestamp, right: Timestamp) {
    let apart = left.duration_since(right).abs();
    assert!(
        apart <= SignedDuration::from_secs(5),
        "{left} and {right} are {apart} apart"
    );
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn skew_both_ways() {
    let standin = start();
    for skew in [600, -600] {
        standin.set_clock_skew(skew);

        // The provider states a time by its clock: published as it is, translated for the schedule.
        for (ask, life) in [(openai(&standin, json!({})), 1800), (conversation(&standin), 900)] {
            let now = Timestamp::now();
            let minted = client(&standin).mint(&ask, &credential(&ask), now).await.unwrap();
            assert_eq!(minted.issued_at, now);
            assert_eq!(minted.expires_at.subsec_nanosecond(), 0, "as the provider stated it");
            assert_close(minted.expires_at, now + secs(skew + life));
            assert_close(minted.usable_until, now + secs(life));
        }

        // The provider states nothing: counted from our sending, translated for publication.
        let ask = elevenlabs(&standin, json!({}));
        let now = Timestamp::now();
        let minted = client(&standin).mint(&ask, &credential(&ask), now).await.unwrap();
        assert_eq!(minted.usable_until, now + secs(900));
        assert_close(minted.expires_at, now + secs(900 + skew));
    }
}

#[tokio::test]
async fn without_skew_both_clocks_are_one() {
    let standin = start();
    for ask in [
        openai(&standin, json!({})),
        elevenlabs(&standin, json!({})),
        conversation(&standin),
    ] {
        let minted = client(&standin)
            .mint(&ask, &credential(&ask), Timestamp::now())
            .await
            .unwrap();
        assert_eq!(minted.usable_until, minted.expires_at);
    }
}

#[tokio::test]
async fn lives_at_the_limits() {
    let standin = start();
    for (granted, accepted) in [(60, true), (1800, true), (2300, true), (2500, false)] {
        standin.set_life(Provider::OpenAi, Some(granted));
        let ask = openai(&standin, json!({}));
        let minted = client(&standin).mint(&ask, &credential(&ask), Timestamp::now()).await;
        assert_eq!(
            minted.is_ok(),
            accepted,
            "{granted} s where 1800 were asked for: {minted:?}"
        );
    }
    for (granted, accepted) in [(7 * 86_400, true), (31 * 86_400, false)] {
        standin.set_life(Provider::ElevenLabs, Some(granted));
        let ask = conversation(&standin);
        let minted = client(&standin).mint(&ask, &credential(&ask), Timestamp::now()).await;
        assert_eq!(minted.is_ok(), accepted, "{granted} s: {minted:?}");
    }
}
