//! The guarantee, as the process in a pod sees it, while the operator's pods come and go and a provider falls silent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use nodetests::guarantee::{Application, Figures, PATIENCE, Setup, Terms};
use testkit::{
    cache,
    standin::{Fault, Provider, Scope},
    wait,
};

/// Renewed after 76 to 85 s: 60 s for the provider's trouble, 15 s for a kubelet that looks every 5 s or so, the floor.
const TERMS: Terms = Terms {
    sync: Some(Duration::from_secs(5)),
    life: 165,
    renewal: Some((5, 15)),
};

/// The operator's own pauses come on top, and the sum stays below the 60 s.
const OUTAGE: Duration = Duration::from_secs(40);

const APPLICATIONS: [(&str, Provider); 6] = [
    ("steady-1", Provider::OpenAi),
    ("steady-2", Provider::OpenAi),
    ("steady-3", Provider::ElevenLabs),
    ("steady-4", Provider::ElevenLabs),
    ("outage-1", Provider::OpenAi),
    ("outage-2", Provider::ElevenLabs),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_ever_reads_less_than_the_floor() -> Result<()> {
    let setup = Setup::start(TERMS).await?;
    match story(&setup).await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(setup.state().await)),
    }
}

async fn story(setup: &Setup) -> Result<()> {
    let said = setup.helm_test().await?;
    ensure!(said.contains("Phase:          Succeeded"), "{said}");
    ensure!(said.contains("holds the Lease"), "{said}");

    let applications = Application::deploy(setup, &APPLICATIONS).await?;
    Application::all_read(&applications, setup, 1).await?;
    for application in &applications {
        // ElevenLabs' conversation tokens serve one session, which the operator says in this place.
        let fresh = match application.provider {
            Provider::OpenAi => "True",
            _ => "False",
        };
        let condition = application.condition(setup, "FreshnessGuaranteed").await?;
        ensure!(condition == fresh, "{}: {condition}", application.name);
    }

    // New pods and live tokens: nothing is minted, as `Figures::of` sees by the time between two mints.
    setup.restart().await?;

    let (steady, silent) = applications.split_at(4);
    let outages = try_join_all(silent.iter().map(|it| outage(setup, it)));
    let (_, takeover) = tokio::try_join!(outages, crash(setup, steady))?;
    Application::all_read(&applications, setup, 3).await?;

    cache::say(&format!(
        "{takeover:.1?} from the leader's crash until the other replica led"
    ));
    let rotations = Figures::print(&applications, setup)?;
    ensure!(rotations >= 10, "{rotations} rotations");
    let complaints = setup.standin.complaints();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// The leader is lost as the second renewals come due.
async fn crash(setup: &Setup, steady: &[Application]) -> Result<Duration> {
    Application::all_read(steady, setup, 2).await?;
    let mut soonest = Timestamp::MAX;
    for application in steady {
        soonest = soonest.min(application.renewal_time(setup).await?);
    }
    let before = soonest.duration_since(Timestamp::now()) - SignedDuration::from_secs(3);
    tokio::time::sleep(before.try_into().unwrap_or_default()).await;
    setup.crash_leader().await
}

/// The provider only fails from before the application's renewal until `OUTAGE` after.
async fn outage(setup: &Setup, application: &Application) -> Result<()> {
    let scope = Scope::Key(application.key.clone());
    setup.standin.fail_always_for(scope.clone(), Fault::status(503));
    let calls = || setup.standin.calls_with_key(&application.key);
    wait::until("the first failure", PATIENCE, async || {
        let failed = calls().iter().any(|it| it.status == Some(503));
        Ok(failed.then_some(()))
    })
    .await
    .with_context(|| application.name.clone())?;
    tokio::time::sleep(OUTAGE).await;
    setup.standin.heal_for(scope);
    application.reads(setup, 2).await
}
