//! The chart as helm renders it: with both majors, which must agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};
use testkit::helm::{Helm, Major};

pub const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/realtime-token-operator");
/// Release and namespace of everything rendered here. The release is called like the chart, so that names are short.
pub const NAME: &str = "realtime-token-operator";
pub const NAMESPACE: &str = "platform";

/// A file of the repository.
pub fn file(path: &str) -> String {
    let path = Path::new(REPOSITORY).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// Values beside the image, which every install needs.
pub fn with_image(mut values: Value) -> Value {
    if values.get("image").is_none() {
        values["image"] = json!({"repository": "registry.example.com/realtime-token-operator"});
    }
    values
}

/// What `helm COMMAND … chart -f values` gets as arguments after the command; keep the file until it has run.
fn arguments(values: &Value) -> (tempfile::NamedTempFile, Vec<String>) {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let args = [NAME, CHART, "--namespace", NAMESPACE, "--values", path];
    let args = args.map(str::to_owned).to_vec();
    (file, args)
}

/// The objects of the chart with these values and an image.
pub fn render(values: Value) -> Objects {
    render_with(values, &[])
}

/// The same, with more arguments for helm. Several tests look at the same values: the first one renders them, and
/// the others wait for that.
pub fn render_with(values: Value, args: &[&str]) -> Objects {
    type Rendered = BTreeMap<String, Arc<OnceLock<Vec<Value>>>>;
    static RENDERED: Mutex<Rendered> = Mutex::new(BTreeMap::new());
    let values = with_image(values);
    let key = format!("{values} {args:?}");
    let objects = Arc::clone(RENDERED.lock().unwrap().entry(key).or_default());
    let render = || {
        let [three, four] = Major::ALL.map(|major| {
            let yaml = template(major, &values, args).unwrap_or_else(|problem| panic!("{problem:#}"));
            Objects::parse(&yaml).0
        });
        assert_eq!(three, four, "helm 3 and helm 4 differ with {values}");
        four
    };
    Objects(objects.get_or_init(render).clone())
}

/// The text that one helm renders.
pub fn template(major: Major, values: &Value, args: &[&str]) -> anyhow::Result<String> {
    let (_file, mut all) = arguments(values);
    all.insert(0, "template".to_owned());
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    Helm::new(major)?.run(all)
}

/// What both say when they refuse these values.
pub fn refused(values: Value, args: &[&str]) -> [String; 2] {
    Major::ALL.map(|major| {
        let (_file, mut all) = arguments(&values);
        all.insert(0, "template".to_owned());
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        Helm::new(major).unwrap().refused(all).unwrap()
    })
}

/// What helm prints after an install.
pub fn notes(values: Value, args: &[&str]) -> String {
    let values = with_image(values);
    let (_file, mut all) = arguments(&values);
    all.insert(0, "install".to_owned());
    all.push("--dry-run=client".to_owned());
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    let said = Helm::new(Major::Four).unwrap().run(all).unwrap();
    let (_, notes) = said
        .split_once("\nNOTES:\n")
        .unwrap_or_else(|| panic!("no notes: {said}"));
    notes.to_owned()
}

/// Rendered objects, in the order of kind, namespace and name.
#[derive(Debug)]
pub struct Objects(pub Vec<Value>);

impl Objects {
    pub fn parse(yaml: &str) -> Self {
        let mut objects: Vec<_> = yaml.split("\n---\n").flat_map(parse_document).collect();
        objects.sort_by_key(title);
        Self(objects)
    }

    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The only object of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        match self.all(kind)[..] {
            [one] => one,
            ref others => panic!("{} objects of kind {kind}", others.len()),
        }
    }

    pub fn named(&self, kind: &str, name: &str) -> &Value {
        let found = self.all(kind).into_iter().find(|it| it["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name} among {:?}", self.titles()))
    }

    pub fn titles(&self) -> Vec<String> {
        self.0.iter().map(title).collect()
    }

    /// The pod of the Deployment.
    pub fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]
    }

    /// Its container.
    pub fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    pub fn args(&self) -> Vec<&str> {
        let args = self.container()["args"].as_array().unwrap();
        args.iter().map(|arg| arg.as_str().unwrap()).collect()
    }
}

/// Most documents, the large CRDs among them, are the same whatever the values: each is parsed once.
fn parse_document(yaml: &str) -> Vec<Value> {
    static PARSED: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::new(BTreeMap::new());
    if let Some(parsed) = PARSED.lock().unwrap().get(yaml) {
        return parsed.clone();
    }
    let objects: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|problem| panic!("{problem}: {yaml}"));
    let objects: Vec<_> = objects.into_iter().filter(|object| !object.is_null()).collect();
    PARSED.lock().unwrap().insert(yaml.to_owned(), objects.clone());
    objects
}

/// Kind, namespace and name.
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let name = [text(&metadata["namespace"]), text(&metadata["name"])].join("/");
    format!("{} {}", text(&object["kind"]), name.trim_start_matches('/'))
}
