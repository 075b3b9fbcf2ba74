package dist

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// meet adds to w where its ranks meet, and what job that is.
func (env environment) meet(w World) (World, error) {
	host, port := env("MASTER_ADDR"), env("MASTER_PORT")
	switch w.By {
	case ByMPI:
		if host == "" || port == "" {
			return w, nil
		}
	case BySlurm:
		// Slurm starts rank 0 on the first host.
		for _, name := range []string{"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"} {
			if host == "" {
				host = firstHost(env(name))
			}
		}
		if host == "" {
			host = env("SLURM_LAUNCH_NODE_IPADDR")
		}
		if port == "" {
			number, err := strconv.ParseUint(env("SLURM_JOB_ID"), 10, 64)
			if err != nil {
				return World{}, errors.New("neither MASTER_PORT nor SLURM_JOB_ID tells a port at which the ranks meet")
			}
			port = strconv.FormatUint(20000+number%10000, 10) // jobs that share a host meet at different ports
		}
	}
	if host == "" {
		return World{}, errors.New("MASTER_ADDR is not set: want the host of rank 0")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return World{}, fmt.Errorf("MASTER_PORT=%q: want a free port of rank 0's host, an integer in [1, 65535]", port)
	}
	if env("TORCHELASTIC_USE_AGENT_STORE") == "True" { // torchrun itself listens at MASTER_PORT
		n = n%65535 + 1
	}
	w.Master = net.JoinHostPort(host, strconv.FormatUint(n, 10))
	w.Job = env.job()
	return w, nil
}

// job is what tells a try of a job from another at the same host and port.
func (env environment) job() string {
	var parts []string
	for _, name := range []string{
		"SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
	} {
		if value := env(name); value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	return strings.Join(parts, " ")
}

// firstHost is the first of Slurm's list of hosts, such as "gpu[07-10,12],cpu1".
func firstHost(list string) string {
	var host strings.Builder
	for list != "" {
		at := strings.IndexAny(list, ",[")
		if at < 0 {
			return host.String() + list
		}
		host.WriteString(list[:at])
		if list[at] == ',' {
			break
		}
		numbers, rest, ok := strings.Cut(list[at+1:], "]")
		if !ok {
			return ""
		}
		if end := strings.IndexAny(numbers, ",-"); end >= 0 {
			numbers = numbers[:end]
		}
		host.WriteString(numbers)
		list = rest
	}
	return host.String()
}

// tasksOnNode is how many tasks Slurm's list, such as "4(x2),3", gives the node of that index; -1 where it does not tell.
func tasksOnNode(list, index string) int {
	node, err := strconv.Atoi(index)
	if err != nil {
		return -1
	}
	for group := range strings.SplitSeq(list, ",") {
		count, times, repeated := strings.Cut(strings.TrimSuffix(group, ")"), "(x")
		nodes := 1
		if repeated {
			if nodes, err = strconv.Atoi(times); err != nil {
				return -1
			}
		}
		if node < nodes {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 {
				return -1
			}
			return n
		}
		node -= nodes
	}
	return -1
}
