//! Which field manager owns which key of data, labels and annotations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::clock;

/// `data`, `labels` or `annotations`, and the key in it.
pub(super) type Field = (&'static str, String);

/// Fields that are new or have another value become the manager's; those that are gone have no manager.
pub(super) fn own_changes(owners: &mut BTreeMap<Field, String>, before: Option<&Value>, after: &Value, manager: &str) {
    let old = before.map(fields).unwrap_or_default();
    let new = fields(after);
    owners.retain(|field, _| new.contains_key(field));
    for (field, value) in new {
        if old.get(&field) != Some(&value) {
            owners.insert(field, manager.to_owned());
        }
    }
}

pub(super) fn fields(object: &Value) -> BTreeMap<Field, Value> {
    let parts = [
        ("data", &object["data"]),
        ("labels", &object["metadata"]["labels"]),
        ("annotations", &object["metadata"]["annotations"]),
    ];
    let entries = parts.into_iter().flat_map(|(part, map)| {
        let entries = map.as_object().into_iter().flatten();
        entries.map(move |(key, value)| ((part, key.clone()), value.clone()))
    });
    entries.collect()
}

pub(super) fn managed_fields(owners: &BTreeMap<Field, String>) -> Value {
    let managers: BTreeSet<&String> = owners.values().collect();
    let entry = |manager: &String| {
        let mut owned = json!({});
        for ((part, key), _) in owners.iter().filter(|(_, owner)| *owner == manager) {
            let part = match *part {
                "data" => &mut owned["f:data"],
                part => &mut owned["f:metadata"][format!("f:{part}")],
            };
            part["."] = json!({});
            part[format!("f:{key}")] = json!({});
        }
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "v1",
            "time": clock::whole_second(clock::now()).to_string(), "fieldsType": "FieldsV1", "fieldsV1": owned,
        })
    };
    managers.into_iter().map(entry).collect()
}
