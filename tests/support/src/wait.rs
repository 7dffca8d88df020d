//! Waiting for something to become true, with an error that says what was seen last.

use std::{fmt::Debug, future::Future, time::Duration};

use anyhow::{Result, anyhow};
use kube::{Api, Resource, runtime::wait::await_condition};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(50);

/// Calls `look` every 50 ms until it gives a value.
///
/// `Ok(None)` and `Err` both mean "not yet"; say by an error what is missing, the last one is quoted when time runs out.
pub async fn until<T>(what: &str, timeout: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    let mut last = String::from("nothing there");
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match bounded(left, look()).await {
            Some(Ok(Some(it))) => return Ok(it),
            Some(Ok(None)) => last = String::from("not yet"),
            Some(Err(error)) => last = format!("{error:#}"),
            // A look that hangs is worth less than what an earlier one saw.
            None => last.push_str(" (then a look that didn't end)"),
        }
        if started.elapsed() >= timeout {
            return Err(anyhow!("waited {timeout:?} for {what}; last seen: {last}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn bounded<T>(limit: Duration, look: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, look).await.ok()
}

/// Watches the object `name` until it is there and `predicate` holds. Goes on watching through an outage of the API server.
pub async fn object_when<K>(api: &Api<K>, name: &str, timeout: Duration, predicate: impl Fn(&K) -> bool) -> Result<K>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&predicate);
    let watch = async {
        loop {
            match await_condition(api.clone(), name, &condition).await {
                Ok(Some(object)) => return object,
                Ok(None) | Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    };
    match bounded(timeout, watch).await {
        Some(object) => Ok(object),
        None => Err(anyhow!(
            "waited {timeout:?} for {name}; last seen: {}",
            snapshot(api, name).await
        )),
    }
}

/// The object as a test's reader wants it: without what the API server adds, and without the data of a Secret.
async fn snapshot<K>(api: &Api<K>, name: &str) -> String
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let look = bounded(Duration::from_secs(5), api.get_opt(name));
    let object = match look.await {
        Some(Ok(Some(object))) => object,
        Some(Ok(None)) => return String::from("no such object"),
        Some(Err(error)) => return format!("{error:#}"),
        None => return String::from("an API server that doesn't answer"),
    };
    let mut json = match serde_json::to_value(&object) {
        Ok(json) => json,
        Err(error) => return error.to_string(),
    };
    if let Some(fields) = json.as_object_mut() {
        fields.remove("data");
        fields.remove("stringData");
        if let Some(metadata) = fields.get_mut("metadata").and_then(|it| it.as_object_mut()) {
            metadata.remove("managedFields");
        }
    }
    json.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_quotes_what_was_seen_last() -> Result<()> {
        let look = async || -> Result<Option<()>> { Err(anyhow!("phase is Pending")) };
        let answer = until("the pod", Duration::from_millis(120), look).await;
        let Err(error) = answer else {
            anyhow::bail!("it can't have ended well")
        };
        assert_eq!(
            error.to_string(),
            "waited 120ms for the pod; last seen: phase is Pending"
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off() {
        let look = async || -> Result<Option<()>> { std::future::pending().await };
        let answer = until("an answer", Duration::from_millis(50), look).await;
        assert!(answer.is_err());
    }
}
