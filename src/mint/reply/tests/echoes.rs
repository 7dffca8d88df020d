//! Providers echo parts of a key: none of them is repeated.

use super::*;

fn with_key(key: &str, status: u16, headers: HeaderMap, body: &str) -> Option<String> {
    let ask = elevenlabs();
    let sent: Timestamp = SENT.parse().unwrap();
    let provider = ask.block.provider();
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
        clocks: Clocks::new(sent, Duration::ZERO, None),
        responder: responder(provider, &To::Endpoint),
    };
    let credential = Credential::new([("api-key", key.into())]);
    let mint = Mint {
        expiration: ask.expiration,
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now: sent,
        nonce: [0; 16],
    };
    reply.read(provider, &mint, 0).err().map(|error| error.to_string())
}

proptest! {
    /// Providers echo the first and last characters of a key, in any field.
    #[test]
    fn no_error_repeats_a_part_of_the_key(
        key in "[A-Z0-9]{12,48}", from in 0usize..8, length in 4usize..48, mask in "[*. …-]{0,6}",
        before in ".{0,40}", status in 200u16..600, shape in 0..6,
    ) {
        let part = &key[from..(from + length).min(key.len())];
        let echo = format!("{before}{part}{mask}{}", &key[key.len() - 4..]);
        let body = match shape {
            0 => json!({"error": {"message": echo, "type": part, "param": null, "code": part}}),
            1 => json!({"detail": {"message": echo, "status": part, "request_id": part}}),
            2 => json!({"detail": [{"loc": ["query", part], "msg": echo, "type": part}]}),
            3 => json!({"error": part, "error_description": format!("AADSTS{part}: {echo}")}),
            4 => json!({"detail": {"status": "missing_permissions",
                "message": format!("is missing the permission {part} {echo}")}}),
            _ => json!(echo),
        };
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-request-id"), HeaderValue::from_str(part).unwrap()),
        ]);
        if let Some(text) = with_key(&key, status, headers, &body.to_string()) {
            for piece in key.as_bytes().windows(4) {
                let piece = std::str::from_utf8(piece).unwrap();
                prop_assert!(!text.contains(piece), "{piece} of {key} in: {text}");
            }
        }
    }
}

#[test]
fn a_permission_whose_name_holds_a_part_of_the_key_is_not_named() {
    let body = json!({"detail": {"status": "missing_permissions",
        "message": "The API key you used is missing the permission key_of_ann to execute this operation."}});
    let named = |key| with_key(key, 401, HeaderMap::new(), &body.to_string()).unwrap();
    assert!(named("some_other").contains("lacks the permission key_of_ann"));
    let text = named("the_key_of_ann_and_bob");
    assert!(text.contains("lacks a permission") && !text.contains("ann"), "{text}");
}
