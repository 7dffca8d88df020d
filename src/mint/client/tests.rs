use super::*;

#[test]
fn built_in_hosts_are_guarded_unless_listed() {
    let guarded = |listed: &[&str]| guarded_hosts(&EndpointPolicy::parse(listed).unwrap()).collect::<Vec<_>>();
    let all = guarded(&[]);
    assert!(all.len() > 8);
    for host in [
        "api.openai.com",
        "eu.api.openai.com",
        "api.elevenlabs.io",
        "api.sg.residency.elevenlabs.io",
        ".openai.azure.com",
        "auth.openai.com",
        "login.microsoftonline.com",
        "sts.googleapis.com",
        "iamcredentials.googleapis.com",
    ] {
        assert!(all.iter().any(|guarded| guarded == host), "{host}");
    }
    let fewer = guarded(&[
        "https://api.openai.com",
        "http://api.elevenlabs.io",
        "https://gw.example",
    ]);
    assert_eq!(
        fewer.len(),
        all.len() - 1,
        "a listed origin may be private; another scheme is another origin"
    );
    assert!(!fewer.contains(&"api.openai.com".to_owned()));
}

#[tokio::test]
async fn a_guarded_host_with_a_private_address_is_not_called() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let endpoints = EndpointPolicy::parse([&origin]).unwrap();
    let config = ClientConfig {
        endpoints,
        ..ClientConfig::default()
    };
    let client = ProviderClient::guarding(&config, ["localhost".to_owned()].into_iter()).unwrap();

    let block = serde_json::json!({"model": "m", "endpoint": origin});
    let block = Block::OpenAi(serde_json::from_value(block).unwrap());
    let ask = Ask {
        block,
        expiration: jiff::SignedDuration::from_secs(60),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    };
    let credential = Credential::new([("api-key", "sk-1".into())]);
    let error = client.mint(&ask, &credential, Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(error.to_string().contains("private address"), "{error}");
    assert!(listener.accept().is_err(), "there was a connection");
}

#[tokio::test]
async fn a_body_is_read_up_to_the_cap() {
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::{Bytes, Frame};
    for (chunks, body, is_whole) in [
        (vec![], "", true),
        (vec!["0123456", "789"], "0123456789", true),
        (vec!["0123456", "789a"], "0123456789", false),
        (vec!["0123456789a"], "0123456789", false),
    ] {
        let chunks = chunks
            .into_iter()
            .map(|chunk| Ok::<_, ClientError>(Frame::data(Bytes::from(chunk))));
        let answer = http::Response::new(reqwest::Body::wrap(StreamBody::new(stream::iter(chunks))));
        let read = read(&mut Response::from(answer), 10).await.unwrap();
        assert_eq!(read, (body.as_bytes().to_vec(), is_whole));
    }
}

#[test]
fn a_ca_bundle_holds_a_certificate() {
    for pem in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(
            matches!(certificates(pem.as_bytes()), Err(ClientError::CaBundle)),
            "{pem:?}"
        );
    }
}

#[test]
fn no_two_nonces_are_the_same() {
    assert_ne!(nonce().unwrap(), nonce().unwrap());
}

#[test]
fn the_proxy_on_the_way_is_named_without_its_password() {
    let mut client = ProviderClient::new(&ClientConfig::default()).unwrap();
    let proxies = Matcher::builder()
        .https("http://ann:secret@proxy.example:3128")
        .no("internal.example");
    client.proxies = Arc::new(proxies.build());
    let proxy = |origin: &str| client.proxy(&origin.parse().unwrap());
    assert_eq!(proxy("https://api.openai.com").as_deref(), Some("proxy.example:3128"));
    assert_eq!(proxy("https://internal.example"), None);
}
