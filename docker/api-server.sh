#!/bin/sh
# Airflow's API server with one user, `admin`, whose password is AIRFLOW_ADMIN_PASSWORD. Arguments go to `airflow api-server`.
set -eu
: "${AIRFLOW_ADMIN_PASSWORD:?is the password of the user admin; set it}"
: "${AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE:?is the file that the password is kept in; set it}"
umask 077
# Python writes the JSON: the password may hold any character.
python -c "import json, os
with open(os.environ['AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE'], 'w') as file:
    json.dump({'admin': os.environ['AIRFLOW_ADMIN_PASSWORD']}, file)"
exec airflow api-server "$@"
