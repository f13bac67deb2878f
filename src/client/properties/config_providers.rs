//! Values that stand elsewhere: `${file:/path:key}`, `${directory:/dir:name}`, `${env:NAME}` in a client's properties.
//!
//! Nothing is looked up unless `config.providers` names the provider and its class. What a provider does not have
//! stays as it is written, and a value that was looked up is not looked at again.
//!
//! Source: KIP-297, KIP-632, KIP-887; `ConfigTransformer` of 3.9.

use std::collections::BTreeMap;
use std::path::Path;

use super::ConfigError;
use crate::config::Properties;

/// Replaces the placeholders in all values.
///
/// # Errors
/// A provider that is no class of Kafka's own, or a file that cannot be read.
pub(super) fn expand(
    given: &mut BTreeMap<String, String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    let Some(names) = given.get("config.providers") else { return Ok(()) };
    let mut providers = BTreeMap::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let class = given.get(&format!("config.providers.{name}.class")).map_or("", |class| class.trim());
        let provider = match class.strip_prefix("org.apache.kafka.common.config.provider.") {
            Some("FileConfigProvider") => Provider::File,
            Some("DirectoryConfigProvider") => Provider::Directory,
            Some("EnvVarConfigProvider") => Provider::Environment,
            _ => {
                return Err(ConfigError(format!(
                    "config.providers.{name}.class={class}: this Java class cannot be run here"
                )));
            }
        };
        providers.insert(name.to_owned(), provider);
    }
    for (key, value) in given.iter_mut() {
        if !key.starts_with("config.providers") && value.contains("${") {
            *value = expand_one(value, &providers, &env)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Provider {
    File,
    Directory,
    Environment,
}

impl Provider {
    fn get(self, path: &str, key: &str, env: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, ConfigError> {
        match self {
            Provider::File => {
                let read = Properties::read(path);
                let read =
                    read.map_err(|error| ConfigError(format!("Could not read properties from file {path}: {error}")))?;
                Ok(read.get(key).map(str::to_owned))
            }
            Provider::Directory => {
                // A name, not a way out of the directory.
                let is_name = !key.is_empty() && !key.contains('/') && key != "..";
                let file = Path::new(path).join(key);
                if !is_name || !file.is_file() {
                    return Ok(None);
                }
                let text = std::fs::read_to_string(&file);
                let text =
                    text.map_err(|error| ConfigError(format!("Could not read file {}: {error}", file.display())))?;
                Ok(Some(text))
            }
            Provider::Environment => Ok(env(key)),
        }
    }
}

fn expand_one(
    value: &str,
    providers: &BTreeMap<String, Provider>,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let found = match inside.split_once(':').and_then(|(name, what)| Some((providers.get(name)?, what))) {
            Some((provider, what)) => {
                let (path, key) = what.split_once(':').unwrap_or(("", what));
                provider.get(path, key, env)?
            }
            None => None,
        };
        match found {
            Some(found) => out.push_str(&found),
            None => out.push_str(&format!("${{{inside}}}")),
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_looked_up_where_the_providers_say() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = dir.path().join("secrets.properties");
        std::fs::write(&secrets, "password=p w\n").unwrap();
        std::fs::write(dir.path().join("token"), "abc").unwrap();
        let provider = "org.apache.kafka.common.config.provider";
        let (file, dir) = (secrets.display(), dir.path().display());
        let mut given: BTreeMap<String, String> = [
            ("config.providers", "f, d,e".to_owned()),
            ("config.providers.f.class", format!("{provider}.FileConfigProvider")),
            ("config.providers.d.class", format!("{provider}.DirectoryConfigProvider")),
            ("config.providers.e.class", format!("{provider}.EnvVarConfigProvider")),
            ("a", format!("<${{f:{file}:password}}>")),
            ("b", format!("${{d:{dir}:token}}-${{e:NAME}}-${{e:OTHER}}")),
            ("c", "${x:y:z} ${f ${d:/nowhere:../token}".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        expand(&mut given, |name| (name == "NAME").then(|| "${e:NAME}".to_owned())).unwrap();
        assert_eq!(given["a"], "<p w>");
        assert_eq!(given["b"], "abc-${e:NAME}-${e:OTHER}");
        assert_eq!(given["c"], "${x:y:z} ${f ${d:/nowhere:../token}");
    }

    #[test]
    fn what_cannot_be_looked_up_is_an_error() {
        let check = |class: &str, value: &str| {
            let pairs = [("config.providers", "p"), ("config.providers.p.class", class), ("a", value)];
            let mut given = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
            expand(&mut given, |_| None).unwrap_err().0
        };
        let file = "org.apache.kafka.common.config.provider.FileConfigProvider";
        assert!(check(file, "${p:/no/such/file:key}").starts_with("Could not read properties from file /no/such/file"));
        assert!(check("com.example.Vault", "x").starts_with("config.providers.p.class=com.example.Vault: "));
    }
}
