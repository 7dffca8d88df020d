//! The proxy itself, in front of a small server of this test.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{Effect, Proxy, Rule};

const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
const STATUS: &str = "/apis/realtime-token.dev/v1alpha1/namespaces/shop/realtimetokens/voice/status";
const EVENTS: [&str; 3] = ["{\"nth\":1}\n", "{\"nth\":2}\n", "{\"nth\":3}\n"];

/// The server says which requests it has got. A watch gives [`EVENTS`], one after each message to it, and stays open.
struct Behind {
    proxy: Proxy,
    client: Client,
    got: mpsc::UnboundedReceiver<String>,
}

impl Behind {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (sender, got) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let _ = sender.send(format!("{} {}", request.method(), request.uri()));
                    async move { Ok::<_, Infallible>(answer(&request)) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(Self {
            proxy: Proxy::before_provider(addr, 7)?,
            client: Client::builder().no_proxy().build()?,
            got,
        })
    }

    async fn get(&self, path: &str) -> reqwest::Result<String> {
        let answer = self.client.get(format!("{}{path}", self.proxy.url())).send().await?;
        answer.text().await
    }

    fn reached(&mut self) -> usize {
        std::iter::from_fn(|| self.got.try_recv().ok()).count()
    }

    fn counted(&self, verb: &str, code: u16) -> u64 {
        let counts = self.proxy.requests();
        counts.sum(|it| it.verb == verb && it.code == code)
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn answer(request: &Request<Incoming>) -> Response<Body> {
    if request.uri().query() == Some("watch=true") {
        let events = futures::stream::unfold(0, |nth| async move {
            if nth > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let event = EVENTS.get(nth).copied();
            let event = match event {
                Some(event) => event,
                None => std::future::pending().await,
            };
            Some((Ok(Frame::data(Bytes::from_static(event.as_bytes()))), nth + 1))
        });
        return Response::new(BodyExt::boxed(StreamBody::new(events)));
    }
    Response::new(Full::new(Bytes::from_static(b"0123456789")).boxed())
}

async fn read_for(mut answer: reqwest::Response, time: Duration) -> (String, bool) {
    let mut text = String::new();
    let until = tokio::time::Instant::now() + time;
    loop {
        match tokio::time::timeout_at(until, answer.chunk()).await {
            Ok(Ok(Some(chunk))) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(_) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

#[tokio::test]
async fn without_rules_it_passes_everything_on_and_counts_it() -> Result<()> {
    let mut behind = Behind::start().await?;
    assert_eq!(behind.get(SECRETS).await?, "0123456789");
    assert_eq!(behind.get(STATUS).await?, "0123456789");
    assert_eq!(behind.reached(), 2);
    let counts = behind.proxy.requests();
    assert_eq!(counts.sum(|it| it.verb == "LIST" && it.resource == "secrets"), 1);
    let status = counts.sum(|it| it.resource == "realtimetokens" && it.subresource == "status" && it.code == 200);
    assert_eq!(status, 1, "{counts}");
    Ok(())
}

#[tokio::test]
async fn what_it_does_reaches_the_server_or_not_as_it_says() -> Result<()> {
    for (effect, reaches) in [
        (Effect::ResetBefore, 0),
        (Effect::ResetAfter, 1),
        (
            Effect::Status {
                code: 429,
                retry_after: Some(3),
            },
            0,
        ),
    ] {
        let mut behind = Behind::start().await?;
        behind
            .proxy
            .add(Rule::new(effect.clone()).resources(&["secrets"]).times(1));
        let answer = behind
            .client
            .get(format!("{}{SECRETS}", behind.proxy.url()))
            .send()
            .await;
        match (&effect, answer) {
            (Effect::Status { .. }, Ok(answer)) => {
                assert_eq!(answer.status(), 429);
                assert_eq!(answer.headers()["retry-after"], "3");
                assert_eq!(behind.counted("LIST", 429), 1);
            }
            (_, Err(_)) => assert_eq!(behind.counted("LIST", 0), 1, "{effect:?}"),
            (_, Ok(answer)) => anyhow::bail!("{effect:?}: answered {}", answer.status()),
        }
        assert_eq!(behind.reached(), reaches, "{effect:?}");
        assert_eq!(behind.get(SECRETS).await?, "0123456789", "once only");
    }
    Ok(())
}

#[tokio::test]
async fn bodies_are_torn_slow_or_late() -> Result<()> {
    let behind = Behind::start().await?;
    let hundred = Duration::from_millis(100);
    for (effect, expected, at_least) in [
        (Effect::Torn { after: 4 }, "0123", Duration::ZERO),
        (
            Effect::SlowBody {
                bytes: 5,
                every: hundred,
            },
            "0123456789",
            2 * hundred,
        ),
        (Effect::Latency(hundred), "0123456789", hundred),
    ] {
        behind.proxy.add(Rule::new(effect.clone()));
        let began = Instant::now();
        assert_eq!(behind.get(SECRETS).await?, expected, "{effect:?}");
        assert!(began.elapsed() >= at_least, "{effect:?}");
        behind.proxy.heal();
    }
    Ok(())
}

#[tokio::test]
async fn watches_go_silent_repeat_themselves_or_are_gone() -> Result<()> {
    let behind = Behind::start().await?;
    let watch = || {
        behind
            .client
            .get(format!("{}{SECRETS}?watch=true", behind.proxy.url()))
            .send()
    };
    let second = Duration::from_secs(1);
    behind.proxy.add(Rule::new(Effect::RepeatedWatch).times(1));
    let twice: String = EVENTS.iter().flat_map(|event| [*event, *event]).collect();
    assert_eq!(read_for(watch().await?, second).await, (twice, false));

    behind.proxy.add(Rule::new(Effect::GoneWatch).times(1));
    let (said, ended) = read_for(watch().await?, second).await;
    ensure!(ended && said.contains("\"code\":410"), "{said}");

    behind.proxy.add(Rule::new(Effect::SilentWatch).times(1));
    assert_eq!(read_for(watch().await?, second).await, (String::new(), false));

    // One that is open and has spoken.
    let mut open = watch().await?;
    let first = open.chunk().await?;
    assert_eq!(first.as_deref(), Some(EVENTS[0].as_bytes()));
    behind.proxy.silence_watches();
    let (said, ended) = read_for(open, second).await;
    assert!(!ended && said.len() <= EVENTS[1].len(), "{said}");
    assert_eq!(
        read_for(watch().await?, second).await,
        (EVENTS.concat(), false),
        "a new one speaks"
    );
    assert_eq!(behind.get(SECRETS).await?, "0123456789");
    Ok(())
}

#[tokio::test]
async fn connections_are_cut_refused_and_frozen() -> Result<()> {
    let behind = Behind::start().await?;
    // Short where nothing is to come, long where something is.
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(30));
    let fresh = |timeout| {
        Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(timeout)
            .build()
    };
    let url = format!("{}{SECRETS}", behind.proxy.url());
    behind.get(SECRETS).await?; // its connection stays in the pool

    behind.proxy.freeze();
    let old = tokio::time::timeout(short, behind.get(SECRETS)).await;
    assert!(old.is_err(), "the old connection is dead, and nobody says so");
    assert_eq!(fresh(long)?.get(&url).send().await?.status(), 200, "a new one works");
    behind.proxy.heal();
    assert_eq!(behind.get(SECRETS).await?, "0123456789");

    behind.proxy.freeze_all();
    let error = fresh(short)?.get(&url).send().await.err();
    assert!(error.is_some_and(|error| error.is_timeout()));
    behind.proxy.heal();

    behind.proxy.refuse();
    let error = fresh(long)?.get(&url).send().await.err();
    assert!(error.is_some_and(|error| !error.is_timeout()));
    behind.proxy.heal();

    let open = behind.client.get(format!("{url}?watch=true")).send().await?;
    behind.proxy.cut();
    let (_, ended) = read_for(open, long).await;
    assert!(ended);
    assert_eq!(behind.get(SECRETS).await?, "0123456789");
    Ok(())
}
