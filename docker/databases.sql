-- Beside `stockcast`, the store's own. Run once, when the volume is new.
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
