//! What the readers saw, held against what was minted and against the floor.

use std::fmt;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use testkit::{cache, standin::Provider};

use super::{Application, Minted, Setup, Terms};
use crate::probe::Look;

/// What one application's pod saw.
#[derive(Debug)]
pub struct Figures {
    name: String,
    looks: usize,
    /// How often another token was read than before.
    pub rotations: usize,
    /// The least life ever read, in seconds.
    pub least: f64,
    /// From the mint to the file in the pod, in seconds, for each rotation.
    pub delays: Vec<f64>,
    /// The longest time between two looks, in seconds: what may have been overlooked.
    pub longest_gap: f64,
}

/// A look at a token.
struct Read<'a> {
    at: Timestamp,
    content: &'a [u8],
    /// Which of the minted ones.
    index: usize,
    expires_at: Timestamp,
}

impl Figures {
    /// Fails unless every look found the whole, right token, each in its turn, and never one below the floor.
    pub fn of(application: &Application, setup: &Setup) -> Result<Self> {
        let looks = application.looks()?;
        let minted = application.minted(setup);
        let figures = check(&looks, &minted, application.provider, setup.terms);
        figures
            .map(|figures| Self {
                name: application.name.clone(),
                ..figures
            })
            .with_context(|| format!("what {} read", application.name))
    }

    /// The same for each of them, printed past the test harness' capture: the measurement is why one runs this. How many
    /// rotations they saw together.
    pub fn print(applications: &[Application], setup: &Setup) -> Result<usize> {
        let mut rotations = 0;
        for application in applications {
            let figures = Self::of(application, setup)?;
            cache::say(&figures.to_string());
            rotations += figures.rotations;
        }
        Ok(rotations)
    }
}

fn check(looks: &[Look], minted: &[Minted], provider: Provider, terms: Terms) -> Result<Figures> {
    let reads = looks
        .iter()
        .map(|look| read(look, minted, provider))
        .collect::<Result<Vec<_>>>()?;
    let first = reads.first().context("it read nothing")?;
    ensure!(first.index == 0, "it began with token {}", first.index + 1);
    let mut figures = Figures {
        name: String::new(),
        looks: looks.len(),
        rotations: 0,
        least: f64::INFINITY,
        delays: Vec::new(),
        longest_gap: 0.0,
    };
    for (look, before) in reads.iter().zip(std::iter::once(first).chain(&reads)) {
        let Read { at, index, .. } = *look;
        let promised = minted[index].at + SignedDuration::from_secs(terms.life.into());
        let off = seconds(look.expires_at.duration_since(promised));
        ensure!(
            // Whole seconds, and two readings of one clock.
            (-1.1..=0.1).contains(&off),
            "{at}: token {} says it ends {off:.1} s off",
            index + 1
        );
        if index == before.index {
            ensure!(look.content == before.content, "{at}: token {} changed", index + 1);
        } else {
            ensure!(
                index == before.index + 1,
                "{at}: token {} after {}",
                index + 1,
                before.index + 1
            );
            ensure!(
                look.expires_at > before.expires_at,
                "{at}: it ends no later than the one before"
            );
            figures.rotations += 1;
            figures.delays.push(seconds(at.duration_since(minted[index].at)));
        }
        let life = seconds(look.expires_at.duration_since(at));
        ensure!(
            life >= f64::from(terms.floor()),
            "{at}: token {} had {life:.1} s of life left, below the floor of {} s",
            index + 1,
            terms.floor()
        );
        figures.least = figures.least.min(life);
        figures.longest_gap = figures.longest_gap.max(seconds(at.duration_since(before.at)));
    }
    ensure!(
        figures.rotations + 1 == minted.len(),
        "{} tokens were minted, but its pod read {}",
        minted.len(),
        figures.rotations + 1
    );
    for pair in minted.windows(2) {
        let period = seconds(pair[1].at.duration_since(pair[0].at));
        ensure!(
            // Lives end at whole seconds.
            period >= terms.shortest_period() - 1.1,
            "a token was minted {period:.1} s after the one before, {:.1} s is the soonest",
            terms.shortest_period()
        );
    }
    Ok(figures)
}

/// The look's token, if it is whole and one of those minted.
fn read<'a>(look: &'a Look, minted: &[Minted], provider: Provider) -> Result<Read<'a>> {
    let at = look.at;
    let content = look.content.as_deref();
    let content = content.map_err(|error| anyhow::anyhow!("{at}: no token: {error}"))?;
    let json: Value =
        serde_json::from_slice(content).with_context(|| format!("{at}: {} bytes that are no JSON", content.len()))?;
    let name = match provider {
        Provider::OpenAi => "openai",
        _ => "elevenlabs",
    };
    ensure!(json["provider"] == name, "{at}: of provider {}", json["provider"]);
    let token = json["token"].as_str().context("no token")?;
    let index = minted.iter().position(|it| it.token == token);
    let index = index.with_context(|| format!("{at}: a token that was not minted for it"))?;
    let expires_at = json["expiresAt"].as_i64().context("no expiresAt")?;
    Ok(Read {
        at,
        content,
        index,
        expires_at: Timestamp::from_millisecond(expires_at)?,
    })
}

fn seconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64()
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delays = &self.delays;
        let longest = delays.iter().copied().fold(0.0, f64::max);
        let shortest = delays.iter().copied().fold(f64::INFINITY, f64::min);
        write!(
            f,
            "{:<14} {:>3} rotations, least life read {:>6.1} s, from mint to file {shortest:>5.1} to {longest:>5.1} s, \
             {} looks, at most {:.1} s apart",
            self.name, self.rotations, self.least, self.looks, self.longest_gap
        )
    }
}

#[cfg(test)]
mod tests;
