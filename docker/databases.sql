-- Run once, when the volume is new: three roles, each the owner of a database of its name, which no other of them may enter.
\getenv airflow_password POSTGRES_AIRFLOW_PASSWORD
\getenv mlflow_password POSTGRES_MLFLOW_PASSWORD
\getenv stockcast_password POSTGRES_STOCKCAST_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE stockcast LOGIN PASSWORD :'stockcast_password';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE stockcast OWNER stockcast;
REVOKE ALL ON DATABASE airflow, mlflow, stockcast FROM PUBLIC;
