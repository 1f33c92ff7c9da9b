// SPDX-License-Identifier: GPL-2.0

//! `docs/json.md` names exactly the fields that there are, and their types.

use std::collections::BTreeMap;

use crate::common::*;
use serde_json::Value;

/// The tables of fields in the documentation, by the heading above them.
fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut tables = BTreeMap::new();
    let (mut heading, mut is_table) = (String::new(), false);
    for line in page.lines() {
        if let Some(text) = line.strip_prefix('#') {
            heading = text.trim_start_matches('#').trim().to_owned();
        }
        if !line.starts_with('|') {
            is_table = false;
        } else if line.starts_with("| field | type |") {
            is_table = true;
        } else if is_table && !line.starts_with("| ---") {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let table: &mut BTreeMap<_, _> = tables.entry(heading.clone()).or_default();
            table.insert(cells[1].trim_matches('`').to_owned(), cells[2].to_owned());
        }
    }
    tables
}

/// Compares an object with tables of the documentation.
fn check(object: &Value, tables: &[&str], missing: &[&str]) {
    let all = documented();
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for table in tables {
        fields.extend(all[*table].clone());
    }
    fields.retain(|name, _| !missing.contains(&name.as_str()));
    let object = object.as_object().unwrap();
    let names: Vec<&String> = object.keys().collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, fields.keys().collect::<Vec<_>>(), "{tables:?}");
    for (name, value) in object {
        let is = match value {
            Value::Null => continue,
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(fields[name].starts_with(is), "{name}: {}", fields[name]);
    }
}

#[test]
fn documentation_is_true() {
    let region = three_crashes();
    region.edit(|image| image[100] ^= 1);
    let files = Files::new(&region.image());
    let common = "Every document";

    let list = files.json(0, &["list", "--json"]);
    check(&list, &[common, "list, show"], &[]);
    check(&list["layout"], &["layout"], &[]);
    check(&list["records"][0], &["record"], &["text", "log"]);
    assert!(list["records"][0]["problems"][0].is_string());
    let show = files.json(0, &["show", "--json"]);
    check(&show, &[common, "list, show"], &[]);
    check(&show["records"][0], &["record"], &[]);
    check(&show["records"][0]["parts"][0], &["record.parts"], &[]);
    check(&show["records"][0]["log"][0], &["record.log"], &[]);

    let map = files.json(0, &["map", "--json"]);
    let mut with_layout = map.clone();
    check(&with_layout["layout"].take(), &["layout"], &[]);
    with_layout.as_object_mut().unwrap().remove("layout");
    check(&with_layout, &[common, "map"], &[]);
    check(&map["zones"][0], &["zones"], &[]);

    let mut verify = files.json(1, &["verify", "--json"]);
    verify.as_object_mut().unwrap().remove("layout");
    check(&verify, &[common, "verify"], &[]);
    check(&verify["findings"][0], &["findings"], &[]);

    let dir = files.dir.path().join("out");
    let names = files.text(0, &["export", "--json", dir.to_str().unwrap()]);
    let exported = std::fs::read(names.lines().next().unwrap()).unwrap();
    check(
        &serde_json::from_slice(&exported).unwrap(),
        &["record"],
        &[],
    );

    files.text(0, &["retention", "write", "--yes", "--force"]);
    let mut image = std::fs::read(files.image()).unwrap();
    image[50_000] ^= 1;
    std::fs::write(files.image(), image).unwrap();
    let retention = files.json(1, &["retention", "check", "--json"]);
    check(&retention, &[common, "retention check"], &[]);
    check(&retention["lost"][0], &["lost"], &[]);
}

#[test]
fn states_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    let page = std::fs::read_to_string(path).unwrap();
    use ramoopsctl::record::State::*;
    for state in [
        Complete, Partial, Foreign, Newer, Salvaged, Damaged, Torn, Deleted,
    ] {
        assert!(
            page.contains(&format!("| `{}` |", state.name())),
            "{state:?}"
        );
    }
}
