#!/bin/sh
# Makes docker/.env of docker/.env.example, with a random password of its own for each that is required. It leaves a docker/.env alone.
#   sh docker/new_env.sh
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || { echo "docker/.env is there already, and keeps its passwords: databases that were made with them ask for them." >&2; exit 1; }
umask 077
while IFS= read -r line; do
	case $line in
	AIRFLOW_FERNET_KEY=) line=$line$(head -c 32 /dev/urandom | base64 | tr +/ -_) ;;
	[A-Z]*=) line=$line$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n') ;;
	esac
	printf '%s\n' "$line"
done <.env.example >.env.made
mv .env.made .env
echo "docker/.env is made. The passwords of the user \`admin\`: grep ADMIN_PASSWORD docker/.env"
