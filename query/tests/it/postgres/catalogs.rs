use super::{door, texts, two_spans};

/// Scenario: what Grafana's PostgreSQL source asks when it is set up and when a
/// query is built, captured from it, with its macros written out.
/// Guarantees: every answer is what the source goes on from.
#[tokio::test]
async fn grafana_finds_its_way() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    assert_eq!(
        texts(&client, "SELECT current_setting('server_version_num')::int/100").await,
        ["1600"]
    );
    let extension = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'";
    assert_eq!(texts(&client, extension).await.len(), 1);
    let paths = "SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END \
        FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), \
        array_upper(string_to_array(current_setting('search_path'),','),1)) as i, \
        string_to_array(current_setting('search_path'),',') s";
    let tables = format!(
        "SELECT CASE WHEN quote_ident(table_schema) IN ({paths}) THEN quote_ident(table_name) \
        ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\" \
        FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN \
        ('information_schema', 'pg_catalog', '_timescaledb_cache') AND table_type = 'BASE TABLE' \
        ORDER BY CASE WHEN quote_ident(table_schema) IN ({paths}) THEN 0 ELSE 1 END, 1"
    );
    let tables = texts(&client, &tables).await;
    assert!(
        ["spans", "logs", "metrics"].iter().all(|name| tables.contains(&(*name).to_owned())),
        "{tables:?}"
    );
    for name in ["spans", "public.spans"] {
        let columns = format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" \
            FROM information_schema.columns WHERE CASE \
            WHEN array_length(parse_ident('{name}'),1) = 2 \
            THEN quote_ident(table_schema) = (parse_ident('{name}'))[1] \
            AND quote_ident(table_name) = (parse_ident('{name}'))[2] \
            ELSE quote_ident(table_schema) IN ({paths}) AND quote_ident(table_name) = '{name}' END"
        );
        let columns = texts(&client, &columns).await;
        assert!(columns.contains(&"time|timestamp with time zone".to_owned()), "{columns:?}");
        assert!(columns.contains(&"attributes|json".to_owned()));
    }
    let schema = "SELECT column_name, data_type, udt_name, is_nullable, numeric_precision, numeric_scale \
        FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position";
    let rows = client.query(schema, &[&"public", &"spans"]).await.unwrap();
    assert_eq!(rows[0].get::<_, &str>("udt_name"), "timestamptz");
    let schemata = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT LIKE 'pg_%' ORDER BY 1";
    assert!(texts(&client, schemata).await.contains(&"public".to_owned()));
    let values = "SELECT 'name' AS col_name, \"name\"::text AS val FROM (SELECT DISTINCT \"name\" FROM \"spans\" LIMIT 100) sub_0 \
        UNION ALL SELECT 'kind' AS col_name, \"kind\"::text AS val FROM (SELECT DISTINCT \"kind\" FROM \"spans\" LIMIT 100) sub_1";
    assert_eq!(texts(&client, values).await.len(), 2);
    let filter = "time BETWEEN '2026-11-23T09:00:00Z' AND '2026-11-23T11:00:00.123456789Z'";
    for bucket in ["floor(extract(epoch from time)/30)*30", "time_bucket('30.000s', time)"] {
        let series = format!(
            "SELECT {bucket} AS \"time\", service_name AS metric, count(*) AS value \
            FROM spans WHERE {filter} GROUP BY 1, 2 ORDER BY 1"
        );
        assert_eq!(texts(&client, &series).await.len(), 1, "{series}");
    }
}

/// Scenario: what psql asks for the comments of `\d+`, and of a table.
/// Guarantees: they say what columns and tables mean.
#[tokio::test]
async fn comments_say_what_columns_mean() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let columns = "SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) \
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'spans'::regclass AND a.attnum > 0 \
        ORDER BY a.attnum";
    let told = door.asker.engine.table(&Default::default(), "spans").unwrap();
    let expected = told.columns.iter().map(|c| match c.doc.as_str() {
        "" => format!("{}|~", c.name),
        doc => format!("{}|{doc}", c.name),
    });
    assert_eq!(texts(&client, columns).await, expected.collect::<Vec<_>>());
    let table = "SELECT obj_description('spans'::regclass, 'pg_class')";
    assert_ne!(texts(&client, table).await, ["~"]);
}

/// Scenario: what drivers and tools ask when they connect.
/// Guarantees: they are answered.
#[tokio::test]
async fn drivers_are_answered_at_their_start() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let version = texts(&client, "SELECT version()").await;
    assert!(version[0].starts_with("PostgreSQL 16.6 (Cloudsail "), "{version:?}");
    for (sql, rows) in [
        ("SELECT current_database(), current_schema(), current_user, session_user", 1),
        ("SELECT pg_catalog.current_database()", 1),
        ("SELECT current_schemas(false)", 1),
        ("SELECT pg_is_in_recovery(), txid_current(), pg_backend_pid()", 1),
        (
            "SELECT set_config('bytea_output','hex',false) FROM pg_settings WHERE name = 'bytea_output'",
            1,
        ),
        ("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL", 1),
        ("SELECT oid, typname FROM pg_type WHERE typname IN ('hstore', 'citext')", 0),
        ("SELECT typname, oid FROM pg_type WHERE oid IN (114, 1184)", 2),
        ("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = 'public'", 1),
        ("SELECT relname FROM pg_class WHERE oid = 'spans'::regclass", 1),
        (
            "SELECT relname FROM pg_class c, pg_namespace n WHERE c.relnamespace = n.oid AND n.nspname = 'public' AND relkind = 'r' AND relname = 'spans'",
            1,
        ),
        (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'public.spans'::regclass AND attnum = 1",
            1,
        ),
        ("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = 'spans'", 1),
        ("SELECT 1 FROM pg_catalog.pg_cursors WHERE name = 'c'", 0),
        ("SELECT datname FROM pg_database", 1),
        ("SELECT constraint_name FROM information_schema.table_constraints", 0),
        (
            "SELECT d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid WHERE c.relname = 'spans' AND d.objsubid = 0",
            1,
        ),
        ("SELECT word FROM pg_get_keywords() WHERE word = 'select'", 1),
    ] {
        assert_eq!(texts(&client, sql).await.len(), rows, "{sql}");
    }
}

/// Scenario: the catalogs by another door.
/// Guarantees: one dialect on all doors; nothing is pinned by looking around.
#[tokio::test]
async fn the_catalogs_are_the_engines() {
    let door = door(&two_spans().await).await;
    let types = "SELECT data_type, udt_name FROM information_schema.columns WHERE table_name = 'spans' AND column_name = 'time'";
    let (rows, summary) = door.asker.ask(types).await;
    assert_eq!(rows, ["timestamp with time zone,timestamptz"]);
    assert!(summary.versions.is_empty(), "{summary:?}");
    let (rows, summary) = door.asker.ask("SELECT count(*) > 50 FROM pg_catalog.pg_attribute").await;
    assert_eq!(rows, ["true"]);
    assert!(summary.versions.is_empty(), "{summary:?}");
    assert!(door.asker.rows("SELECT version()").await[0].starts_with("PostgreSQL 16"));
    let secrets = "SELECT rolname, rolpassword FROM pg_catalog.pg_authid";
    assert_eq!(door.asker.rows(secrets).await, ["cloudsail,"]);
    assert!(
        door.asker.rows("SHOW COLUMNS FROM spans").await[0].contains("timestamp with time zone")
    );
}
