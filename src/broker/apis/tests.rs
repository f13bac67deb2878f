use super::*;

#[test]
fn the_table_stands_in_the_order_of_keys_and_asks_only_for_declared_versions() {
    assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
    for api in APIS {
        let declared = api.key.versions();
        assert!(declared.contains(api.versions.start()) && declared.contains(api.versions.end()), "{}", api.key.name());
    }
}
