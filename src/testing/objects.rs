//! The objects, their versions, and the history that watches follow.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_managers::{Field, fields, managed_fields, own_changes};
use super::request::{Kind, Request};
use crate::clock;
use crate::token::secret::annotations::{CONNECTION_MANAGER, MANAGER};

/// A request that is not done, as the API server says it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn of_code(code: u16) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        Self {
            code,
            reason,
            message: format!("injected by the test: {reason}"),
        }
    }

    pub(super) fn by_busy_webhook() -> Self {
        Self {
            message: "admission webhook \"scan.example.com\" denied the request: too many reviews".to_owned(),
            ..Self::of_code(429)
        }
    }

    pub(super) fn body(&self) -> Value {
        let terminating = self.message.contains("because it is being terminated");
        let causes = terminating.then(|| json!([{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]));
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
            "details": {"causes": causes.unwrap_or_else(|| json!([]))},
        })
    }

    fn not_found(key: &Key) -> Self {
        Self {
            message: format!("{} \"{}\" not found", key.resource, key.name),
            ..Self::of_code(404)
        }
    }

    fn conflict(key: &Key, why: &str) -> Self {
        let Key { resource, name, .. } = key;
        Self {
            message: format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"),
            ..Self::of_code(409)
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    resource: &'static str,
    namespace: String,
    name: String,
}

impl Key {
    pub(super) fn new(resource: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn of(request: &Request) -> Self {
        Self::new(request.resource, &request.namespace, &request.name)
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: &'static str,
    pub(super) before: Option<Value>,
    /// With the version of the change, also if the object is gone.
    pub(super) after: Value,
    pub(super) deleted: bool,
}

#[derive(Default)]
pub(super) struct Objects {
    version: u64,
    uids: u64,
    all: BTreeMap<Key, Value>,
    /// Whose each field of a Secret is.
    owners: BTreeMap<Key, BTreeMap<Field, String>>,
    pub(super) history: Vec<Change>,
    /// What admission changes of the Secrets that the operator writes.
    pub(super) rewrites: Vec<Rewrite>,
}

/// A copy of everything at a time.
pub(crate) struct Backup {
    version: u64,
    all: BTreeMap<Key, Value>,
    owners: BTreeMap<Key, BTreeMap<Field, String>>,
}

pub(super) type Rewrite = Box<dyn Fn(&mut Value) + Send>;

impl Objects {
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn back_up(&self) -> Backup {
        Backup {
            version: self.version,
            all: self.all.clone(),
            owners: self.owners.clone(),
        }
    }

    /// Goes back, versions included. New uids are others than those that were given since.
    pub(super) fn restore(&mut self, backup: &Backup) {
        self.version = backup.version;
        self.all = backup.all.clone();
        self.owners = backup.owners.clone();
        self.history.clear();
    }

    pub(super) fn get(&self, key: &Key) -> Result<&Value, Refusal> {
        self.all.get(key).ok_or_else(|| Refusal::not_found(key))
    }

    pub(super) fn list(&self, resource: &str) -> impl Iterator<Item = &Value> {
        let of_kind = self.all.iter().filter(move |(key, _)| key.resource == resource);
        of_kind.map(|(_, object)| object)
    }

    pub(super) fn write(&mut self, request: &Request) -> Result<Value, Refusal> {
        let key = Key::of(request);
        match request.verb {
            "create" => self.create(request.resource, &request.namespace, &request.body, &request.manager),
            "update" => self.replace(&key, request.body.clone(), request.status, &request.manager),
            "patch" => {
                let before = self.get(&key)?.clone();
                let mut patched = before.clone();
                merge(&mut patched, &request.body);
                let mut takes_over = false;
                if request.apply {
                    let applied = fields(&request.body).into_keys();
                    let owners = self.owners.entry(key.clone()).or_default();
                    for field in applied {
                        takes_over |= owners.insert(field, request.manager.clone()).as_ref() != Some(&request.manager);
                    }
                }
                let written = self.replace(&key, patched, request.status, &request.manager)?;
                if takes_over && written == before {
                    return Ok(self.put(key, Some(before), written, &request.manager)); // a change of managedFields alone
                }
                Ok(written)
            }
            _ => self.delete(&key),
        }
    }

    pub(super) fn create(
        &mut self,
        resource: &'static str,
        namespace: &str,
        object: &Value,
        manager: &str,
    ) -> Result<Value, Refusal> {
        let mut object = object.clone();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            let message = "metadata.name: Required value: name or generateName is required".to_owned();
            return Err(Refusal {
                message,
                ..Refusal::of_code(422)
            });
        }
        let key = Key::new(resource, namespace, &name);
        if self.all.contains_key(&key) {
            return Err(Refusal {
                reason: "AlreadyExists",
                message: format!("{resource} \"{name}\" already exists"),
                ..Refusal::of_code(409)
            });
        }
        self.uids += 1;
        let meta = &mut object["metadata"];
        if !namespace.is_empty() {
            meta["namespace"] = json!(namespace);
        }
        meta["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.uids));
        meta["creationTimestamp"] = json!(clock::whole_second(clock::now()).to_string());
        if let Some(kind) = Kind::of_resource(resource) {
            object["apiVersion"] = json!(kind.api_version);
            object["kind"] = json!(kind.kind);
            if kind.custom {
                object["metadata"]["generation"] = json!(1);
                remove(&mut object, "status");
            }
        }
        Ok(self.put(key, None, object, manager))
    }

    /// Writes a whole object: its status alone, or all but its status.
    fn replace(&mut self, key: &Key, new: Value, status: bool, manager: &str) -> Result<Value, Refusal> {
        let old = self.get(key)?.clone();
        let custom = Kind::of_resource(key.resource).is_some_and(|kind| kind.custom);
        for (field, why) in [
            (
                "uid",
                "Precondition failed: UID in precondition differs from UID in object meta",
            ),
            (
                "resourceVersion",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
        ] {
            let wanted = &new["metadata"][field];
            if !wanted.is_null() && *wanted != old["metadata"][field] {
                return Err(Refusal::conflict(key, why));
            }
        }
        let (mut written, other) = if status { (old.clone(), new) } else { (new, old.clone()) };
        if status || custom {
            written["status"] = other["status"].clone();
        }
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            written["metadata"][field] = old["metadata"][field].clone();
        }
        drop_empty(&mut written);
        if written == old {
            return Ok(old);
        }
        if custom && written["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            written["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.put(key.clone(), Some(old), written, manager))
    }

    pub(super) fn merge(&mut self, key: &Key, patch: &Value, status: bool, manager: &str) -> Result<Value, Refusal> {
        let mut patched = self.get(key)?.clone();
        merge(&mut patched, patch);
        self.replace(key, patched, status, manager)
    }

    pub(super) fn disown(&mut self, key: &Key) {
        self.owners.remove(key);
    }

    /// Removes an object, or marks it as being deleted while it has finalizers.
    pub(super) fn delete(&mut self, key: &Key) -> Result<Value, Refusal> {
        let before = self.get(key)?.clone();
        let mut after = before.clone();
        if before["metadata"]["finalizers"].is_array() {
            after["metadata"]["deletionTimestamp"] = json!(clock::whole_second(clock::now()).to_string());
            return Ok(self.put(key.clone(), Some(before), after, ""));
        }
        self.all.remove(key);
        self.owners.remove(key);
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(Change {
            version: self.version,
            resource: key.resource,
            before: Some(before),
            after: after.clone(),
            deleted: true,
        });
        Ok(after)
    }

    fn put(&mut self, key: Key, before: Option<Value>, mut after: Value, manager: &str) -> Value {
        drop_empty(&mut after);
        if key.resource == "secrets" {
            if [MANAGER, CONNECTION_MANAGER].contains(&manager) {
                self.rewrites.iter().for_each(|rewrite| rewrite(&mut after));
                drop_empty(&mut after);
            }
            let owners = self.owners.entry(key.clone()).or_default();
            own_changes(owners, before.as_ref(), &after, manager);
            after["metadata"]["managedFields"] = managed_fields(owners);
        }
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.all.insert(key.clone(), after.clone());
        self.history.push(Change {
            version: self.version,
            resource: key.resource,
            before,
            after: after.clone(),
            deleted: false,
        });
        after
    }
}

/// JSON merge patch, RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            remove(target, key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn remove(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.shift_remove(key);
    }
}

/// Empty maps and lists are not stored, nor are nulls.
fn drop_empty(object: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.retain(|_, value| !empty(value));
    }
    for part in ["data", "status"] {
        if empty(&object[part]) {
            remove(object, part);
        }
    }
}
