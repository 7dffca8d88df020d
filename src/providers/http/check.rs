//! What is wrong with a block, and where. At last the request is built once with made-up values, so that what would fail
//! is found before the first mint.

use http::HeaderName;
use jiff::SignedDuration;

use super::{KEY, KEY_ID, PASSWORD, USERNAME};
use crate::api::{
    CONNECTION_KEYS, FALLBACK_KEY, Http, HttpAuthKind, HttpExpiryFrom, HttpFormat, HttpMethod, HttpRequest,
    HttpResponse, HttpTtl, OWN_KEYS,
};
use crate::mint::InvalidBlock;
use crate::mint::placeholder::{self, Placeholder, Text, check_params, plain_name, rehearse};

/// Headers that belong to the connection or to us.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
    "proxy-authorization",
    "user-agent",
];

/// The block, filled in for this subject or a made-up one.
pub(crate) fn block(block: &Http, subject: Option<&str>) -> Result<(), InvalidBlock> {
    let account = &block.account;
    let missing = |field: &str| InvalidBlock(format!("http.{field}: set it"));
    if account.endpoint.is_none() {
        return Err(missing("endpoint"));
    }
    let request = account.request.as_ref().ok_or_else(|| missing("request"))?;
    let ttl = account.ttl.as_ref().ok_or_else(|| missing("ttl"))?;
    let response = account.response.as_ref();
    let response = response.ok_or_else(|| missing("response"))?;
    if account.side_effects == Some(true) && account.renew_despite_side_effects != Some(true) {
        return Err(InvalidBlock(
            "http.sideEffects: each mint starts something at the provider, and tokens are minted by a timer; if that \
             is meant, set renewDespiteSideEffects too"
                .into(),
        ));
    }
    check_request(request)?;
    let texts = texts(request)?;
    let asks = texts
        .iter()
        .flat_map(Text::placeholders)
        .any(Placeholder::depends_on_life);
    check_ttl(ttl, response, asks)?;
    check_response(response)?;
    check_params("http", &block.params, &texts)?;
    let life = SignedDuration::from_secs(ttl.fixed_seconds.or(ttl.max_seconds).unwrap_or_default());
    let fields = [KEY, KEY_ID, USERNAME, PASSWORD];
    rehearse(&fields, life, subject, |mint| block.build(mint))
}

/// Whether the request gives the end of the token's life as an instant and in no other form.
pub(crate) fn asks_for_an_instant(block: &Http) -> bool {
    let texts = block.account.request.as_ref().map(texts);
    let Some(Ok(texts)) = texts else {
        return false; // refused before anything was sent
    };
    let placeholders = texts.iter().flat_map(Text::placeholders);
    let mut lives = placeholders.filter(|it| it.depends_on_life()).peekable();
    lives.peek().is_some() && lives.all(Placeholder::is_instant)
}

/// Every text of a request with placeholders.
pub(crate) fn texts(request: &HttpRequest) -> Result<Vec<Text>, InvalidBlock> {
    let mut found = vec![Text::parse(&request.path, "http.request.path")?];
    let form = request.form.iter();
    let maps = [("query", &request.query), ("headers", &request.headers)];
    for (part, map) in maps.into_iter().chain(form.map(|form| ("form", form))) {
        for (name, text) in map {
            let place = format!("http.request.{part}.{name}");
            plain_name(name, &place)?;
            found.push(Text::parse(text, &place)?);
        }
    }
    if let Some(json) = &request.json {
        found.extend(placeholder::texts(&json.read(), "http.request.json")?);
    }
    Ok(found)
}

fn check_request(request: &HttpRequest) -> Result<(), InvalidBlock> {
    let refuse = |place: &str, problem: &str| Err(InvalidBlock(format!("http.request.{place}: {problem}")));
    let path = &request.path;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c);
    let parsed = Text::parse(path, "http.request.path")?;
    if parsed.literals().any(|text| !text.chars().all(fits)) {
        return refuse(
            "path",
            "has letters, digits and -._~!$&'()*+,;=:@ between its slashes; what else a value holds is encoded, and the \
             query goes into http.request.query",
        );
    }
    for (place, text) in std::iter::once(("path", path)).chain(request.query.values().map(|text| ("query", text))) {
        if Text::parse(text, place)?.uses("credential") {
            return refuse(
                place,
                "{{ credential }} would stand in logs on the way; send it as a header or in the body",
            );
        }
    }
    if request.json.is_some() && request.form.is_some() {
        return refuse("form", "a body is json or form, not both");
    }
    if request.method == HttpMethod::GET && (request.json.is_some() || request.form.is_some()) {
        return refuse("method", "a GET has no body; use POST, or the query");
    }
    let auth = &request.auth;
    let header = match auth.kind {
        HttpAuthKind::Basic => "authorization".to_owned(),
        HttpAuthKind::Header => header_name(&auth.header, "http.request.auth.header")?
            .as_str()
            .to_owned(),
    };
    if !auth.prefix.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return refuse("auth.prefix", "ASCII letters, digits, punctuation and spaces");
    }
    for name in request.headers.keys() {
        let place = format!("http.request.headers.{name}");
        if header_name(name, &place)?.as_str() == header {
            return Err(InvalidBlock(format!("{place}: http.request.auth sends it")));
        }
    }
    if auth.kind == HttpAuthKind::Basic {
        let used = texts(request)?;
        if used.iter().any(|text| text.uses("credential") || text.uses("keyId")) {
            return refuse(
                "auth.kind",
                "with Basic the key Secret holds username and password, so there is no {{ credential }} and no {{ keyId }}",
            );
        }
    }
    Ok(())
}

/// A header that a block may set.
pub(crate) fn header_name(name: &str, place: &str) -> Result<HeaderName, InvalidBlock> {
    let shown: String = place.chars().take(128).collect();
    let name = HeaderName::try_from(name).map_err(|_| InvalidBlock(format!("{shown:?}: no name of a header")))?;
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(InvalidBlock(format!("{shown}: belongs to the connection; remove it")));
    }
    Ok(name)
}

fn check_ttl(ttl: &HttpTtl, response: &HttpResponse, asks: bool) -> Result<(), InvalidBlock> {
    let refuse = |problem: String| Err(InvalidBlock(format!("http.ttl: {problem}")));
    let longest = response.max_seconds;
    match (ttl.fixed_seconds, ttl.max_seconds) {
        (Some(_), Some(_)) => refuse("set fixedSeconds, or maxSeconds, not both".into()),
        (None, None) => refuse(
            "set maxSeconds if the request says how long the token lives, else fixedSeconds, as the provider's \
             documentation has it"
                .into(),
        ),
        (Some(_), None) if ttl.min_seconds.is_some() => refuse("minSeconds belongs to maxSeconds".into()),
        (None, Some(max)) if ttl.min_seconds.is_some_and(|min| min > max) => {
            refuse("minSeconds is more than maxSeconds".into())
        }
        (None, Some(_)) if !asks => refuse(
            "nothing in the request says how long the token shall live, and many providers then give one that never \
             ends: use {{ ttlSeconds }} or {{ expires }}, or set fixedSeconds"
                .into(),
        ),
        (Some(life), _) | (_, Some(life)) if life > longest => refuse(format!(
            "{life} seconds are more than http.response.maxSeconds, {longest}"
        )),
        _ => Ok(()),
    }
}

fn check_response(response: &HttpResponse) -> Result<(), InvalidBlock> {
    let refuse = |place: &str, problem: &str| Err(InvalidBlock(format!("http.response.{place}: {problem}")));
    let is_json = response.format == HttpFormat::Json;
    match (&response.token, is_json) {
        (None, true) => return refuse("token", "where the token is, such as /token"),
        (Some(_), false) => return refuse("token", "the whole body is the token; remove it"),
        _ => {}
    }
    if !is_json && !response.outputs.is_empty() {
        return refuse("outputs", "the whole body is the token; remove them");
    }
    let pointers = response
        .token
        .iter()
        .map(|it| ("token", it))
        .chain(response.outputs.values().map(|it| ("outputs", it)));
    let expiry = response.expiry.iter();
    let pointers = pointers.chain(expiry.filter_map(|it| Some(("expiry", it.pointer.as_ref()?))));
    for (place, pointer) in pointers {
        if !pointer.starts_with('/') {
            return refuse(place, "a JSON pointer begins with /, such as /data/token");
        }
    }
    for key in response.outputs.keys() {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if key.is_empty() || key.len() > 253 || !key.chars().all(fits) {
            return refuse("outputs", "a key of a Secret has letters, digits, '-', '_' and '.'");
        }
        let mut own = OWN_KEYS.iter().chain(&CONNECTION_KEYS).chain([&FALLBACK_KEY]);
        if own.any(|own| own == key) {
            return refuse(
                &format!("outputs.{key}"),
                "that key of the Secret is the operator's own; take another",
            );
        }
    }
    if response.expiry.is_empty() {
        return refuse("expiry", "name at least one source");
    }
    for source in &response.expiry {
        let is_reply = source.from == HttpExpiryFrom::Reply;
        if (source.pointer.is_some(), source.unit.is_some()) != (is_reply, is_reply) {
            return refuse("expiry", "from Reply has pointer and unit, the others have neither");
        }
        if is_reply && !is_json {
            return refuse("expiry", "from Reply needs the format Json");
        }
    }
    Ok(())
}
