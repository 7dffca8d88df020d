//! The guarantee with the defaults of everything: the kubelet's, and the operator's. A quarter of an hour, hence not
//! among the other tests: `make test-node-slow`.

#![allow(missing_docs, reason = "tests")]

use anyhow::{Result, ensure};
use nodetests::guarantee::{Application, Figures, Setup, Terms};
use testkit::standin::Provider;

/// The shortest that an application can have with the defaults, about: 270 s before the end, at most half of the life.
const TERMS: Terms = Terms {
    sync: None,
    life: 600,
    renewal: None,
};

const APPLICATIONS: [(&str, Provider); 6] = [
    ("openai-1", Provider::OpenAi),
    ("openai-2", Provider::OpenAi),
    ("openai-3", Provider::OpenAi),
    ("openai-4", Provider::OpenAi),
    ("elevenlabs-1", Provider::ElevenLabs),
    ("elevenlabs-2", Provider::ElevenLabs),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_ever_reads_less_than_the_floor_with_the_defaults() -> Result<()> {
    let setup = Setup::start(TERMS).await?;
    match story(&setup).await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(setup.state().await)),
    }
}

async fn story(setup: &Setup) -> Result<()> {
    let applications = Application::deploy(setup, &APPLICATIONS).await?;
    Application::all_read(&applications, setup, 3).await?;
    let rotations = Figures::print(&applications, setup)?;
    ensure!(rotations >= 10, "{rotations} rotations");
    Ok(())
}
