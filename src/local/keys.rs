//! The provider's key on this machine: in a folder of files, in the environment, or in a file of variables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use secrecy::SecretString;

use crate::api::{Reason, SecretField};
use crate::cli::mint::input;
use crate::issuer::LocalKeys;
use crate::mint::Credential;
use crate::token::{Blocked, hash};

/// Read unless another file is named.
const ENV_FILE: &str = ".env";

pub(super) struct KeyFiles {
    folder: Option<PathBuf>,
    env_file: PathBuf,
    /// Whether the user named it, so that it must be there.
    is_named: bool,
    environment: fn(&str) -> Option<String>,
    /// What the manifest calls the first value.
    first_key: Mutex<Option<String>>,
}

impl KeyFiles {
    pub(super) fn new(
        folder: Option<PathBuf>,
        env_file: Option<PathBuf>,
        environment: fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            folder,
            is_named: env_file.is_some(),
            env_file: env_file.unwrap_or_else(|| ENV_FILE.into()),
            environment,
            first_key: Mutex::default(),
        }
    }

    pub(super) fn set_first_key(&self, key: Option<String>) {
        *self.first_key.lock() = key;
    }

    /// The files that may hold a value, so that a change is noticed.
    pub(super) fn places(&self, fields: &'static [SecretField]) -> Vec<PathBuf> {
        let in_folder = self.folder.iter().flat_map(|folder| {
            let names = fields.iter().enumerate().map(|(nth, field)| self.name(nth, field));
            names.map(|name| folder.join(name)).collect::<Vec<_>>()
        });
        in_folder.chain([self.env_file.clone()]).collect()
    }

    /// What the file of a value is called.
    fn name(&self, nth: usize, field: &SecretField) -> String {
        let chosen = self.first_key.lock().clone().filter(|_| nth == 0);
        chosen.unwrap_or_else(|| field.key.to_owned())
    }

    /// A value and where it was found.
    fn value(&self, nth: usize, field: &SecretField) -> Result<(SecretString, String), String> {
        let name = self.name(nth, field);
        if let Some(folder) = &self.folder
            && let Some(value) = text(&folder.join(&name), folder.is_dir())?
        {
            return given(&value, format!("the file {}", folder.join(&name).display()));
        }
        if let Some(value) = (self.environment)(field.env) {
            return given(&value, format!("the variable {}", field.env));
        }
        let variables = text(&self.env_file, !self.is_named)?;
        if let Some(value) = variables.and_then(|text| variable(&text, field.env)) {
            return given(&value, format!("{} of {}", field.env, self.env_file.display()));
        }
        Err(self.missing(&name, field))
    }

    fn missing(&self, name: &str, field: &SecretField) -> String {
        let file = match &self.folder {
            Some(folder) => format!("a file {name} in {}", folder.display()),
            None => format!("a file {name} in a folder that --credentials-dir names"),
        };
        format!(
            "there is no {env}: set the variable, write a line {env}=… into {}, or put {file}",
            self.env_file.display(),
            env = field.env,
        )
    }
}

impl LocalKeys for KeyFiles {
    fn read(&self, fields: &'static [SecretField]) -> Result<(Credential, String), Blocked> {
        let mut values = Vec::new();
        for (nth, field) in fields.iter().enumerate() {
            let found = self.value(nth, field);
            let (value, place) = found.map_err(|message| Blocked::new(Reason::CredentialNotFound, message))?;
            values.push((field.key, value, place));
        }
        let revisions: Vec<_> = values
            .iter()
            .map(|(_, value, _)| hash::credential_revision([value].into_iter()))
            .collect();
        let places: Vec<_> = values.iter().map(|(key, _, place)| (*key, place.clone())).collect();
        let credential = Credential::new(values.into_iter().map(|(key, value, _)| (key, value)));
        Ok((credential.given_in(places), revisions.join("-")))
    }
}

/// A value without the line break at its end.
fn given(value: &str, place: String) -> Result<(SecretString, String), String> {
    match value.trim() {
        "" => Err(format!("{place} is empty: put the provider's key there")),
        value => Ok((value.into(), place)),
    }
}

/// The text of a file; `None` if there is none and that is allowed.
fn text(path: &Path, may_be_absent: bool) -> Result<Option<String>, String> {
    let absent = fs::metadata(path).is_err_and(|problem| problem.kind() == io::ErrorKind::NotFound);
    if absent && may_be_absent {
        return Ok(None);
    }
    let bytes = input::read(path).map_err(|problem| problem.to_string())?;
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|_| format!("{} is not UTF-8 text: a key is", path.display()))
}

/// The value of a variable in lines of `NAME=value`, with or without `export` and quotes. The last line of a name holds.
fn variable(text: &str, name: &str) -> Option<String> {
    let value_of = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (its_name, value) = line.split_once('=')?;
        (its_name.trim_end() == name).then(|| unquoted(value.trim()))
    };
    text.lines().rev().find_map(value_of)
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote)
            && let Some((inner, _)) = rest.split_once(quote)
        {
            return inner.to_owned();
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    value[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::api::LiveKit;
    use crate::providers::Provider;

    fn fields() -> &'static [SecretField] {
        LiveKit::default().secret_fields()
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn values(keys: &KeyFiles) -> Result<Vec<String>, String> {
        let (credential, _) = keys.read(fields()).map_err(|blocked| blocked.message)?;
        let value = |field| credential.get(field).unwrap().expose_secret().to_owned();
        Ok(fields().iter().map(value).collect())
    }

    #[test]
    fn variables_in_a_file() {
        let text = "# a comment\nexport A=1\nB = \"two words\" # why\nC='#3'\nD=4 # four\nA=5\nAA=6\nE=\n";
        for (name, value) in [
            ("A", Some("5")),
            ("AA", Some("6")),
            ("B", Some("two words")),
            ("C", Some("#3")),
            ("D", Some("4")),
            ("E", Some("")),
            ("F", None),
        ] {
            assert_eq!(variable(text, name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn a_file_comes_before_the_variable_and_that_before_the_file_of_variables() {
        let dir = tempfile::tempdir().unwrap();
        let env_file = dir.path().join("env");
        let [first, second] = [&fields()[0], &fields()[1]];
        fs::write(&env_file, format!("{}=env-1\n{}=env-2\n", first.env, second.env)).unwrap();
        let keys = |folder: Option<&Path>, environment| {
            KeyFiles::new(folder.map(Path::to_owned), Some(env_file.clone()), environment)
        };
        assert_eq!(values(&keys(None, nothing)).unwrap(), ["env-1", "env-2"]);
        let environment = |name: &str| (name == fields()[0].env).then(|| "variable".to_owned());
        assert_eq!(values(&keys(None, environment)).unwrap(), ["variable", "env-2"]);
        fs::write(dir.path().join(first.key), "file\n").unwrap();
        let with_folder = keys(Some(dir.path()), environment);
        assert_eq!(values(&with_folder).unwrap(), ["file", "env-2"]);
        fs::write(dir.path().join("mine"), "chosen").unwrap();
        with_folder.set_first_key(Some("mine".to_owned()));
        assert_eq!(values(&with_folder).unwrap(), ["chosen", "env-2"]);
    }

    #[test]
    fn what_is_missing_is_said_with_every_place_it_may_be_put() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("env");
        let keys = KeyFiles::new(None, Some(named.clone()), nothing);
        assert!(
            values(&keys).unwrap_err().starts_with("can't read "),
            "a named file must be there"
        );
        fs::write(&named, "").unwrap();
        let env = fields()[0].env;
        let message = values(&keys).unwrap_err();
        let expected = format!(
            "there is no {env}: set the variable, write a line {env}=… into {}",
            named.display()
        );
        assert!(
            message.starts_with(&expected) && message.contains("--credentials-dir"),
            "{message}"
        );
        fs::write(&named, format!("{env}=\n")).unwrap();
        assert!(
            values(&keys)
                .unwrap_err()
                .ends_with("is empty: put the provider's key there")
        );
        let nowhere = KeyFiles::new(Some(dir.path().join("none")), None, nothing);
        assert!(values(&nowhere).unwrap_err().starts_with("can't read "));
    }
}
