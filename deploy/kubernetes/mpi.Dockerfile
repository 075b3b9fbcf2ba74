# The image of mpijob.yaml: senet with Open MPI, which starts the ranks through ssh as the user that Kubeflow's MPI operator
# expects. `docker build --tag senet-mpi:development - <deploy/kubernetes/mpi.Dockerfile` after `make docker`.
ARG BASE=senet:latest
FROM ${BASE}
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends openmpi-bin libopenmpi3 openssh-client openssh-server \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 mpiuser \
 && install -d -o 1000 -g 1000 /work/runs /run/sshd \
 && printf '%s\n' 'Host *' '  StrictHostKeyChecking no' '  UserKnownHostsFile /dev/null' '  Port 2222' >>/etc/ssh/ssh_config \
 && printf '%s\n' 'Port 2222' 'PidFile /home/mpiuser/sshd.pid' 'HostKey /home/mpiuser/.ssh/id_rsa' 'StrictModes no' \
      >/home/mpiuser/.sshd_config
ENV HOME=/home/mpiuser
USER 1000:1000
ENTRYPOINT []
