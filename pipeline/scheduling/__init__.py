"""The border to Airflow: DAGs, their timetable, and the services that run them. The only package that imports Airflow."""
