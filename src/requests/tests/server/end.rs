//! The end of the server: what was begun is finished, and nothing keeps it for ever.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_finished_at_the_end_and_nothing_new_begins() {
    let served = Served::new().await;
    let (mut one, mut two, mut idle) = (served.http1().await, served.http2().await, served.http1().await);
    assert_eq!(
        idle.send_request(request(BEARER, Value::Null)).await.unwrap().status(),
        201
    );
    let half_open = served.connect().await;
    served.provider.slow(Duration::from_secs(5));
    let under_way = [
        tokio::spawn(one.send_request(request(BEARER, Value::Null))),
        tokio::spawn(two.send_request(request(BEARER, Value::Null))),
    ];
    while served.provider.count() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    served.shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let late = served.tls(&["http/1.1"]).await;
    assert!(late.is_ok(), "nodes still send connections here");
    for response in under_way {
        assert_eq!(response.await.unwrap().unwrap().status(), 201);
    }
    served.ended.await.unwrap();
    assert!((4..=6).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(idle.send_request(request(BEARER, Value::Null)).await.is_err());
    assert!(TcpStream::connect(served.address).await.is_err());
    drop((half_open, served.api));
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let served = Served::new().await;
    served.provider.fail(MintFault::Hang);
    let mut one = served.http1().await;
    let _response = tokio::spawn(one.send_request(request(BEARER, Value::Null)));
    while served.provider.count() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    served.shutdown.cancel();
    served.ended.await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(28), "{:?}", start.elapsed());
}

/// A request in the last moment is answered too, if only with the provider being too slow.
#[tokio::test(start_paused = true)]
async fn the_end_waits_as_long_as_an_answer_takes() {
    let served = Served::new().await;
    served.provider.fail(MintFault::Hang);
    let mut one = served.http1().await;
    let start = Instant::now();
    served.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let answer = one.send_request(request(BEARER, Value::Null)).await.unwrap();
    assert_eq!(answer.status(), 504);
    drop(answer);
    served.ended.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(29), "{:?}", start.elapsed());
}
