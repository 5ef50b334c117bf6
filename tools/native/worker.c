#define _GNU_SOURCE

#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve.h"

volatile sig_atomic_t worker_interrupted = 0;

static bool starts_with(const char* text, const char* prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What the runtime complained about, several lines joined by "; ". */
static void read_complaints(FILE* notes, char* text, size_t size) {
    char line[512];
    size_t used = 0;
    text[0] = '\0';
    fflush(notes);
    rewind(notes);
    while (fgets(line, sizeof line, notes) != NULL && used < size) {
        line[strcspn(line, "\n")] = '\0';
        if (starts_with(line, "INFO") || starts_with(line, "WARNING") || starts_with(line, "VERBOSE") ||
            line[0] == '\0') {
            continue;
        }
        const char* message = starts_with(line, "ERROR: ") ? line + strlen("ERROR: ") : line;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : "; ", message);
    }
}

/* Ends the process and says how it ended, for one that has not answered. */
static bool died(worker* process, failure* why) {
    int status = 0;
    waitpid(process->pid, &status, 0);
    process->pid = 0;
    char complaints[400];
    read_complaints(process->notes, complaints, sizeof complaints);
    if (WIFSIGNALED(status)) {
        fail(why, "the runtime crashed (%s): the file is corrupt, or the runtime has a fault",
             strsignal(WTERMSIG(status)));
    } else {
        fail(why, "the runtime ended the process (exit status %d)", WEXITSTATUS(status));
    }
    add_detail(why, complaints);
    return false;
}

static bool read_all(worker* process, void* into, size_t size, failure* why) {
    char* to = into;
    while (size > 0) {
        struct pollfd waiting = {.fd = process->answers, .events = POLLIN};
        int count = worker_interrupted ? -1 : poll(&waiting, 1, (int)(process->timeout * 1e3));
        if (worker_interrupted) {
            return fail(why, "interrupted");
        }
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count == 0) {
            kill(process->pid, SIGKILL);
            return fail(why, "no answer after %g seconds, its process was ended: allow more with --timeout",
                        process->timeout);
        }
        ssize_t got = read(process->answers, to, size);
        if (got == 0) {
            return died(process, why);
        }
        if (got < 0) {
            return fail(why, "the pipe from its process failed: %s", strerror(errno));
        }
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool receive(worker* process, message_kind wanted, void* into, size_t size, failure* why) {
    message_kind kind;
    if (!read_all(process, &kind, sizeof kind, why)) {
        return false;
    }
    if (kind == wanted) {
        return read_all(process, into, size, why);
    }
    failure told = {0};
    if (!read_all(process, &told, sizeof told, why)) {
        return false;
    }
    char complaints[400];
    *why = told;
    read_complaints(process->notes, complaints, sizeof complaints);
    add_detail(why, complaints);
    return false;
}

bool worker_start(worker* process, const worker_job* job, double timeout, worker_ready* ready, failure* why) {
    int commands[2], answers[2];
    memset(process, 0, sizeof *process);
    process->timeout = timeout;
    if (pipe(commands) != 0) {
        return fail(why, "no pipe: %s", strerror(errno));
    }
    if (pipe(answers) != 0) {
        close(commands[0]);
        close(commands[1]);
        return fail(why, "no pipe: %s", strerror(errno));
    }
    process->notes = tmpfile();
    fflush(NULL); /* or both processes write what waits in the buffers */
    process->pid = process->notes == NULL ? -1 : fork();
    if (process->pid == 0) {
        signal(SIGINT, SIG_IGN); /* the terminal sends Ctrl-C here too; the parent ends this process */
        close(commands[1]);
        close(answers[0]);
        if (!job->verbose) {
            dup2(fileno(process->notes), STDERR_FILENO);
        }
        serve(job, commands[0], answers[1]);
        exit(EXIT_SUCCESS);
    }
    close(commands[0]);
    close(answers[1]);
    process->commands = commands[1];
    process->answers = answers[0];
    if (process->pid < 0) {
        process->pid = 0;
        fail(why, "no process: %s", strerror(errno));
    } else if (receive(process, MESSAGE_READY, ready, sizeof *ready, why)) {
        return true;
    }
    worker_stop(process);
    return false;
}

bool worker_run(worker* process, size_t runs, double seconds, worker_round* round, failure* why) {
    round_request request = {.runs = runs, .seconds = seconds};
    memset(round, 0, sizeof *round);
    write_all(process->commands, &request, sizeof request); /* where it has died, the answer says how */
    if (receive(process, MESSAGE_TIMES, round, sizeof *round, why)) {
        round->times = malloc((round->count + 1) * sizeof *round->times);
        if (round->times == NULL) {
            fail(why, "out of memory");
        } else if (read_all(process, round->times, round->count * sizeof *round->times, why)) {
            return true;
        }
        free(round->times);
    }
    round->times = NULL;
    worker_stop(process);
    return false;
}

void worker_stop(worker* process) {
    if (process->notes == NULL) {
        return;
    }
    if (process->pid != 0) {
        /* Closing the pipe would not do: workers that were started later have it, too. */
        const round_request end = {0};
        if (worker_interrupted || !write_all(process->commands, &end, sizeof end)) {
            kill(process->pid, SIGKILL);
        }
        waitpid(process->pid, NULL, 0);
    }
    close(process->commands);
    close(process->answers);
    fclose(process->notes);
    memset(process, 0, sizeof *process);
}
