use std::cell::RefCell;
use std::time::Duration;

use super::*;

fn message(namespace: &str, reason: &str) -> Message {
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: None,
        action: "Mint".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    (event, about)
}

/// A write that hangs costs its own namespace its Events and no other.
#[tokio::test(start_paused = true)]
async fn a_slow_write_holds_up_its_own_namespace_only() {
    let (sender, messages) = mpsc::channel(HANDED_OVER);
    let began = Instant::now();
    let written = RefCell::new(Vec::new());
    let publish = async |(event, about): Message| {
        if about.namespace.as_deref() == Some("slow") {
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
        written.borrow_mut().push((event.reason, began.elapsed()));
    };
    for (namespace, reason) in [("slow", "one"), ("slow", "two"), ("quick", "three"), ("quick", "four")] {
        sender.send(message(namespace, reason)).await.unwrap();
    }
    let publishing = publish_all(messages, publish);
    let last = async {
        tokio::time::sleep(Duration::from_secs(60)).await; // paused time
        drop(sender);
    };
    tokio::join!(publishing, last);
    let seconds = |(reason, time): &(String, Duration)| (reason.clone(), time.as_secs());
    let written: Vec<_> = written.borrow().iter().map(seconds).collect();
    let expected = [("three", 0), ("four", 0), ("one", 15), ("two", 30)];
    assert_eq!(written, expected.map(|(reason, time)| (reason.to_owned(), time)));
}
