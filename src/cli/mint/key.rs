//! The key: from files, or from the environment variables of the provider's own SDK.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::MintCliError;
use super::input::read;
use crate::api::RealtimeTokenSpec;
use crate::mint::Credential;
use crate::providers::Provider;

/// The name that the manifest gives to the first key.
pub(crate) fn key_name(spec: &RealtimeTokenSpec) -> Option<&str> {
    spec.credentials.secret_ref.as_ref()?.key.as_deref()
}

/// Where values of the key lie in files.
#[derive(Default)]
pub(super) struct Files<'a> {
    /// The file of the first value.
    pub(super) first: Option<&'a Path>,
    /// A folder of files named by their keys.
    pub(super) folder: Option<&'a Path>,
    /// What the first value's key is called, if not as usual.
    pub(super) first_key: Option<&'a str>,
}

impl Files<'_> {
    /// The values of the credential: from files, else from the environment.
    pub(super) fn credential(
        &self,
        provider: &dyn Provider,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Credential, MintCliError> {
        let several = provider.secret_fields().len() > 1;
        let values = provider.secret_fields().iter().enumerate().map(|(nth, field)| {
            let key = self.first_key.filter(|_| nth == 0).unwrap_or(field.key);
            let (value, place) = match self.file(nth, key)? {
                Some((file, path)) => {
                    let place = format!("the file {}", path.display());
                    (Some(String::from_utf8_lossy(&file).into_owned()), place)
                }
                None => (env(field.env), format!("the variable {}", field.env)),
            };
            let value = value.as_deref().map(str::trim).filter(|value| !value.is_empty());
            let (env, title) = (field.env, provider.title());
            let value = value.ok_or_else(|| match several {
                true => MintCliError::NoValue {
                    key: key.to_owned(),
                    env,
                    provider: title,
                },
                false => MintCliError::NoKey { env, provider: title },
            })?;
            Ok((field.key, SecretString::from(value), place))
        });
        let values = values.collect::<Result<Vec<_>, MintCliError>>()?;
        let places: Vec<_> = values.iter().map(|(key, _, place)| (*key, place.clone())).collect();
        let values = values.into_iter().map(|(key, value, _)| (key, value));
        Ok(Credential::new(values).given_in(places).asked_once())
    }

    /// The content of a value's file, and its path.
    fn file(&self, nth: usize, key: &str) -> Result<Option<(Vec<u8>, PathBuf)>, MintCliError> {
        if let Some(first) = self.first.filter(|_| nth == 0) {
            return Ok(Some((read(first)?, first.to_owned())));
        }
        let Some(folder) = self.folder else {
            return Ok(None);
        };
        let path = folder.join(key);
        match read(&path) {
            // Without the folder itself nothing that is meant can be there.
            Err(MintCliError::Read(_, problem)) if problem.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
                Ok(None)
            }
            read => Ok(Some((read?, path))),
        }
    }
}

/// Which variable is meant depends on the manifest, so clap can't read it.
#[allow(clippy::disallowed_methods, reason = "the edge, where the environment is read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::api::{ElevenLabs, LiveKit, OpenAi};

    fn openai() -> OpenAi {
        serde_json::from_value(serde_json::json!({"model": "m"})).unwrap()
    }

    fn value(provider: &dyn Provider, nth: usize, credential: &Credential) -> String {
        let value = credential.get(&provider.secret_fields()[nth]).unwrap();
        value.expose_secret().to_owned()
    }

    #[test]
    fn the_key_comes_from_the_sdks_variable() {
        let none = Files::default();
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| " sk-1\n".to_owned());
        let found = none.credential(&openai(), env).unwrap();
        assert_eq!(value(&openai(), 0, &found), "sk-1");

        let elevenlabs: ElevenLabs = serde_json::from_value(serde_json::json!({"agentId": "a"})).unwrap();
        let error = none.credential(&elevenlabs, env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no API key: set ELEVENLABS_API_KEY to the key of ElevenLabs, or name a file that holds it with \
             --api-key-file"
        );
        assert!(
            none.credential(&openai(), |_| Some(" \n".into())).is_err(),
            "an empty variable is none"
        );
    }

    #[test]
    fn a_file_comes_before_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "sk-file\n").unwrap();
        let first = |path| Files {
            first: Some(path),
            ..Files::default()
        };
        let env = |_: &str| Some("sk-env".into());
        let found = first(&file).credential(&openai(), env).unwrap();
        assert_eq!(value(&openai(), 0, &found), "sk-file");
        let none = dir.path().join("none");
        let missing = first(&none).credential(&openai(), env).unwrap_err();
        assert!(missing.to_string().contains("can't read"), "{missing}");
    }

    #[test]
    fn several_values_come_from_a_folder_and_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let livekit = LiveKit::default();
        let folder = |first_key| Files {
            folder: Some(dir.path()),
            first_key,
            first: None,
        };
        let error = folder(None).credential(&livekit, |_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LiveKit needs LIVEKIT_API_SECRET: set LIVEKIT_API_SECRET, or put a file LIVEKIT_API_SECRET that \
             holds it into the folder of --credentials-dir"
        );
        std::fs::write(dir.path().join("LIVEKIT_API_SECRET"), "word\n").unwrap();
        std::fs::write(dir.path().join("other"), "another\n").unwrap();
        let env = |name: &str| (name == "LIVEKIT_API_KEY").then(|| "id".to_owned());
        let found = folder(None).credential(&livekit, env).unwrap();
        assert_eq!(value(&livekit, 0, &found), "word");
        assert_eq!(value(&livekit, 1, &found), "id");
        let renamed = folder(Some("other")).credential(&livekit, env).unwrap();
        assert_eq!(value(&livekit, 0, &renamed), "another", "secretRef.key");

        let nowhere = dir.path().join("none");
        let files = Files {
            folder: Some(&nowhere),
            ..Files::default()
        };
        let error = files.credential(&livekit, env).unwrap_err();
        assert!(error.to_string().contains("can't read"), "{error}");
    }
}
