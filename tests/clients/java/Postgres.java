import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * Reads spans through the PostgreSQL JDBC driver by the Postgres door, and
 * prints "ok".
 *
 * usage: java -cp postgresql.jar Postgres.java HOST PORT COUNT
 */
public final class Postgres {
    private static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        rows.close();
        return values;
    }

    private static String code(Connection connection, String sql) {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            return error.getSQLState();
        }
        return "answered";
    }

    public static void main(String[] args) throws Exception {
        long count = Long.parseLong(args[2]);
        String url = "jdbc:postgresql://" + args[0] + ":" + args[1] + "/cloudsail";
        Properties wishes = new Properties();
        wishes.setProperty("user", "me");
        wishes.setProperty("sslmode", "disable");
        try (Connection connection = DriverManager.getConnection(url, wishes)) {
            DatabaseMetaData about = connection.getMetaData();
            check(about.getDatabaseMajorVersion() == 16, about.getDatabaseProductVersion());
            check(column(about.getSchemas(), "TABLE_SCHEM").contains("public"), "schemas");
            check(column(about.getCatalogs(), "TABLE_CAT").contains("cloudsail"), "catalogs");
            List<String> tables =
                column(about.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME");
            check(tables.contains("spans") && tables.contains("logs"), tables);
            List<String> views =
                column(about.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME");
            check(views.contains("traces"), views);
            try (ResultSet columns = about.getColumns(null, "public", "spans", "%")) {
                boolean found = false;
                while (columns.next()) {
                    if (columns.getString("COLUMN_NAME").equals("time")) {
                        found = true;
                        check(columns.getString("TYPE_NAME").equals("timestamptz"), columns.getString("TYPE_NAME"));
                        check(columns.getInt("DATA_TYPE") == Types.TIMESTAMP, columns.getInt("DATA_TYPE"));
                    }
                }
                check(found, "no column time");
            }
            check(column(about.getPrimaryKeys(null, "public", "spans"), "COLUMN_NAME").isEmpty(), "keys");
            check(column(about.getIndexInfo(null, "public", "spans", false, true), "INDEX_NAME").isEmpty(), "indices");
            check(!column(about.getTypeInfo(), "TYPE_NAME").isEmpty(), "types");
            check(column(about.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types");

            // Often enough for the driver to prepare on the server and read binary.
            String sql = "SELECT time, duration_ns, duration_ms, is_error, attributes, name FROM spans "
                + "WHERE duration_ns >= ? AND name <> ? ORDER BY time";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int turn = 0; turn < 8; turn++) {
                    statement.setLong(1, 0);
                    statement.setString(2, "nothing");
                    try (ResultSet rows = statement.executeQuery()) {
                        long seen = 0;
                        while (rows.next()) {
                            seen++;
                            check(rows.getObject(1, OffsetDateTime.class) != null, "time");
                            check(rows.getLong(2) >= 0 && rows.getDouble(3) >= 0, "duration");
                            rows.getBoolean(4);
                            check(rows.getString(5).startsWith("{"), rows.getString(5));
                        }
                        check(seen == count, seen);
                    }
                }
            }

            // Fetch sizes need a transaction.
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 2500) AS t(value)");
                long sum = 0;
                while (rows.next()) {
                    sum += rows.getLong(1);
                }
                check(sum == 2500L * 2501 / 2, sum);
            }
            connection.commit();
            connection.setAutoCommit(true);
            connection.setReadOnly(true);

            check(code(connection, "SELECT nothing FROM spans").equals("42703"), "column");
            check(code(connection, "DELETE FROM spans").equals("25006"), "read only");
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                statement.executeQuery(
                    "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3");
                throw new AssertionError("answered");
            } catch (SQLException error) {
                check(error.getSQLState().equals("57014"), error);
            }
            check(connection.isValid(10), "valid");
        }
        System.out.println("ok");
    }
}
