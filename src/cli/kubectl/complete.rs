//! What kubectl asks of a plugin when a user completes a word: under the name `kubectl_complete-realtime_token` the
//! binary gets what was typed, and prints one candidate a line and a directive for the shell, as cobra's commands do.

use clap::{ArgAction, Command, CommandFactory as _};

use super::{ClusterArgs, Plugin, connect};
use crate::api::Reason;
use crate::text::escaped;

/// The name of the binary by which kubectl finds it.
pub const BINARY: &str = "kubectl_complete-realtime_token";
/// To the shell: don't offer files instead.
const NO_FILES: &str = ":4\n";

/// What may stand in the place of a word.
#[derive(Debug, PartialEq, Eq)]
enum Candidates {
    Words(Vec<String>),
    /// The names of RealtimeTokens, and these.
    NamesAnd(Vec<String>),
}

/// The candidates for the last of these arguments.
pub async fn complete(arguments: Vec<String>) -> String {
    let Some((word, before)) = arguments.split_last() else {
        return NO_FILES.to_owned();
    };
    let words = match candidates(before, word) {
        Candidates::Words(words) => words,
        Candidates::NamesAnd(mut words) => {
            words.extend(names(before).await);
            words
        }
    };
    let fitting = words.into_iter().filter(|candidate| candidate.starts_with(word));
    let lines: String = fitting.map(|candidate| format!("{candidate}\n")).collect();
    lines + NO_FILES
}

fn candidates(before: &[String], word: &str) -> Candidates {
    let mut plugin = Plugin::command();
    plugin.build();
    let mut command = &plugin;
    let mut awaited = None;
    for argument in before {
        if awaited.take().is_some() {
            continue;
        }
        match argument.starts_with('-') {
            true => awaited = option(command, argument),
            false => command = command.find_subcommand(argument).unwrap_or(command),
        }
    }
    if let Some(option) = awaited {
        return Candidates::Words(values(option));
    }
    if word.starts_with('-') {
        let longs = command.get_arguments().filter_map(clap::Arg::get_long);
        return Candidates::Words(longs.map(|long| format!("--{long}")).collect());
    }
    if command.has_subcommands() {
        return Candidates::Words(command.get_subcommands().map(described).collect());
    }
    match command.get_positionals().next() {
        None => Candidates::Words(Vec::new()),
        Some(_) if command.get_name() == "explain" => {
            let reasons = Reason::ALL.iter().map(|reason| reason.as_str().to_owned());
            Candidates::NamesAnd(reasons.collect())
        }
        Some(positional) => match values(positional) {
            none if none.is_empty() => Candidates::NamesAnd(none),
            values => Candidates::Words(values),
        },
    }
}

/// The option that this argument names, if its value is the next one.
fn option<'a>(command: &'a Command, argument: &str) -> Option<&'a clap::Arg> {
    let named = |option: &&clap::Arg| {
        let long = option
            .get_long()
            .is_some_and(|long| argument.strip_prefix("--") == Some(long));
        let short = option.get_short().is_some_and(|short| argument == format!("-{short}"));
        long || short
    };
    let option = command.get_arguments().find(named)?;
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append).then_some(option)
}

fn values(option: &clap::Arg) -> Vec<String> {
    let values = option.get_possible_values();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

fn described(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    format!("{}\t{about}", command.get_name())
}

/// The RealtimeTokens of the namespace that was typed; none where the cluster doesn't answer.
async fn names(before: &[String]) -> Vec<String> {
    let value = |long: &str, short: &str| {
        let joined = before
            .iter()
            .find_map(|argument| argument.strip_prefix(&format!("{long}=")));
        let apart = before
            .iter()
            .skip_while(|argument| *argument != long && *argument != short);
        joined.or_else(|| apart.map(String::as_str).nth(1)).map(str::to_owned)
    };
    let typed = ClusterArgs {
        namespace: value("--namespace", "-n"),
        context: value("--context", "--context"),
    };
    let Ok((cluster, namespace)) = connect(typed).await else {
        return Vec::new();
    };
    let tokens = cluster.tokens(Some(&namespace)).await.unwrap_or_default();
    let names = tokens.into_iter().filter_map(|token| token.metadata.name);
    names.map(|name| escaped(&name).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(typed: &str) -> Candidates {
        let mut words: Vec<_> = typed.split(' ').map(str::to_owned).collect();
        let word = words.pop().unwrap();
        candidates(&words, &word)
    }

    fn words(typed: &str) -> Vec<String> {
        match of(typed) {
            Candidates::Words(words) => words,
            other => panic!("{typed}: {other:?}"),
        }
    }

    #[test]
    fn commands_options_and_their_values_are_words() {
        assert!(
            words("")
                .iter()
                .any(|word| word.starts_with("renew\tHave new tokens minted now"))
        );
        assert!(words("-n shop ").iter().any(|word| word.starts_with("status\t")));
        assert!(words("list --").contains(&"--unhealthy".to_owned()));
        assert!(words("list --").contains(&"--namespace".to_owned()));
        assert_eq!(words("status voice -o "), ["json", "yaml"]);
        assert!(words("completion ").contains(&"fish".to_owned()));
        assert_eq!(words("renew -n "), [""; 0]);
        assert_eq!(words("check --url "), [""; 0]);
    }

    #[test]
    fn names_are_asked_of_the_cluster() {
        for command in [
            "status ",
            "renew voice ",
            "suspend ",
            "resume v",
            "request -n shop ",
            "status -n explain ",
            "check ",
        ] {
            assert_eq!(of(command), Candidates::NamesAnd(Vec::new()), "{command}");
        }
        let Candidates::NamesAnd(reasons) = of("explain ") else {
            panic!()
        };
        assert!(reasons.contains(&"QuotaExhausted".to_owned()));
    }
}
