-- Reading or writing what is no table, in every form.

-- attack: a file as a table
-- must: invalid
SELECT * FROM '/etc/passwd'

-- attack: a file by URL
-- must: invalid
SELECT * FROM 'file:///etc/passwd'

-- attack: an object by URL
-- must: invalid
SELECT * FROM "s3://bucket/x.parquet"

-- attack: the web
-- must: invalid
SELECT * FROM 'http://169.254.169.254/latest/meta-data'

-- attack: a table of our own store by URL
-- must: invalid
SELECT * FROM "cloudsail://store/default/spans"

-- attack: a readers' function
-- must: invalid
SELECT * FROM read_parquet('/tmp/x.parquet')

-- attack: a glob
-- must: invalid
SELECT * FROM glob('/etc/*')

-- attack: a file's name
-- must: invalid
SELECT input_file_name() FROM spans

-- attack: a file as text
-- must: invalid
SELECT pg_read_file('/etc/passwd')

-- attack: large objects
-- must: invalid
SELECT lo_import('/etc/passwd')

-- attack: an external table
-- must: denied
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://key:secret@bucket/'

-- attack: copy out
-- must: denied
COPY spans TO '/tmp/cloudsail-attack.csv'

-- attack: copy out of a query
-- must: denied|invalid
COPY (SELECT * FROM spans) TO 's3://bucket/x.parquet' STORED AS PARQUET

-- attack: copy in
-- must: denied|invalid
COPY spans FROM '/etc/passwd'

-- attack: a program
-- must: denied|invalid
COPY spans TO PROGRAM 'sh -c id'

-- attack: insert behind WITH
-- must: denied|invalid
WITH x AS (INSERT INTO spans SELECT * FROM spans RETURNING *) SELECT * FROM x

-- attack: insert behind EXPLAIN ANALYZE
-- must: denied
EXPLAIN ANALYZE INSERT INTO spans SELECT * FROM spans

-- attack: a second statement
-- must: invalid
SELECT 1; DROP TABLE spans

-- attack: a second statement behind a comment
-- must: invalid
SELECT 1 /* ; */ ; -- x
DELETE FROM spans

-- attack: settings
-- must: denied
SET datafusion.runtime.memory_limit = '100G'

-- attack: settings shown
-- must: denied
SHOW ALL

-- attack: settings as a table
-- must: invalid
SELECT * FROM information_schema.df_settings

-- attack: a prepared statement
-- must: denied
PREPARE p AS SELECT 1

-- attack: a view over a file
-- must: denied
CREATE VIEW v AS SELECT * FROM '/etc/passwd'

-- attack: select into
-- must: denied
SELECT * INTO stolen FROM spans

-- attack: locks
-- must: denied
SELECT * FROM spans FOR UPDATE

-- attack: paths in a plan
-- must: answers
EXPLAIN SELECT * FROM spans WHERE name = 'x'

-- attack: paths in a verbose plan
-- must: answers
EXPLAIN VERBOSE SELECT * FROM spans WHERE name = 'x'

-- attack: paths in a plan that ran
-- must: answers
EXPLAIN ANALYZE SELECT count(*) FROM spans WHERE attributes['http.route'] = '/a'

-- attack: paths in a plan that ran, in all words
-- must: answers
EXPLAIN ANALYZE VERBOSE SELECT service_name, count(*) FROM spans GROUP BY 1

-- attack: another catalog
-- must: invalid
SELECT * FROM postgres.public.spans
