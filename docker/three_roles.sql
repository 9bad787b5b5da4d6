-- For a volume of an older version, whose one role, the superuser `stockcast`, owned all: makes of it what databases.sql makes of a new
-- one. docs/how-to/upgrade.md has the command. Everything that uses the databases must have ended; repeating it changes nothing.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
\getenv airflow_password POSTGRES_AIRFLOW_PASSWORD
\getenv mlflow_password POSTGRES_MLFLOW_PASSWORD
\getenv stockcast_password POSTGRES_STOCKCAST_PASSWORD
-- Nobody may rename themselves, so another superuser does it, for as long as this takes.
DROP ROLE IF EXISTS renaming;
CREATE ROLE renaming SUPERUSER LOGIN;
\connect postgres renaming
SELECT 'ALTER ROLE stockcast RENAME TO postgres' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') \gexec
ALTER ROLE postgres PASSWORD :'password';
\connect postgres postgres
DROP ROLE renaming;
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['airflow', 'mlflow', 'stockcast']) AS name
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE airflow PASSWORD :'airflow_password';
ALTER ROLE mlflow PASSWORD :'mlflow_password';
ALTER ROLE stockcast PASSWORD :'stockcast_password';
ALTER DATABASE airflow OWNER TO airflow;
ALTER DATABASE mlflow OWNER TO mlflow;
ALTER DATABASE stockcast OWNER TO stockcast;
REVOKE ALL ON DATABASE airflow, mlflow, stockcast FROM PUBLIC;
-- What is in them: tables and free sequences (those of columns follow their table), then types.
\set give_tables 'SELECT format(''ALTER TABLE public.%I OWNER TO %I'', relname, current_database()) FROM pg_class AS c WHERE relnamespace = ''public''::regnamespace AND (relkind IN (''r'', ''p'', ''v'', ''m'') OR relkind = ''S'' AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype IN (''a'', ''i'')))'
\set give_types 'SELECT format(''ALTER TYPE public.%I OWNER TO %I'', typname, current_database()) FROM pg_type WHERE typnamespace = ''public''::regnamespace AND typtype IN (''e'', ''d'')'
\connect airflow
:give_tables \gexec
:give_types \gexec
\connect mlflow
:give_tables \gexec
:give_types \gexec
\connect stockcast
:give_tables \gexec
:give_types \gexec
