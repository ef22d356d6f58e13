/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread looks every tenth of a second whether a wait has taken too long.  A
 * second after the last wait it sleeps until it is woken: an idle client costs
 * nothing, and a busy one need not wake it.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "nbd/life.h"
#include "nbd/peer.h"

#define TICK_US 100000
#define TICKS_AWAKE 10
/* More than a whole map takes in one request, and less than with a byte each.
 */
#define ANSWERS 1000000

typedef struct {
  void (*begin) (void *opaque);
  void *opaque;
} Beginning;

struct NbdLife {
  const gint *stop;             /* NULL: never */
  const NbdHolder *holder;      /* NULL: none */
  void *holder_opaque;
  guint patience_ms;
  gint lost;                    /* atomic */
  gsize memory;                 /* atomic: taken of NBD_AHEAD_BYTES */
  GMutex lock;                  /* guards what follows */
  GCond woken;
  GThread *thread;
  GQueue waits;                 /* of NbdWait, linked in themselves */
  GArray *signs;                /* of int */
  GHashTable *met;              /* who listens: name of a socket → process ID */
  GHashTable *held;             /* key of a connection → its ID */
  gsize last_id;
  GHashTable *negotiating;      /* keys of connections */
  GCond settled;                /* one fewer */
  GArray *beginnings;           /* of Beginning; NULL once it serves */
  gint64 stopped;               /* when that was noticed; 0: not yet */
  bool asleep;
  bool ended;
};

NbdLife *
nbd_life_new (const gint *stop, guint patience_ms)
{
  NbdLife *life = g_new0 (NbdLife, 1);

  life->stop = stop;
  life->patience_ms = patience_ms ? patience_ms : NBD_PATIENCE_MS;
  life->signs = g_array_new (FALSE, FALSE, sizeof (int));
  life->met = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  life->held = g_hash_table_new (NULL, NULL);
  life->negotiating = g_hash_table_new (NULL, NULL);
  life->beginnings = g_array_new (FALSE, FALSE, sizeof (Beginning));
  g_cond_init (&life->settled);
  g_mutex_init (&life->lock);
  g_cond_init (&life->woken);
  g_queue_init (&life->waits);
  return life;
}

void
nbd_life_free (NbdLife *life)
{
  if (!life)
    return;
  g_mutex_lock (&life->lock);
  life->ended = true;
  g_cond_signal (&life->woken);
  g_mutex_unlock (&life->lock);
  if (life->thread)
    g_thread_join (life->thread);
  g_array_unref (life->signs);
  g_hash_table_unref (life->met);
  g_hash_table_unref (life->held);
  g_hash_table_unref (life->negotiating);
  g_clear_pointer (&life->beginnings, g_array_unref);
  g_cond_clear (&life->settled);
  g_cond_clear (&life->woken);
  g_mutex_clear (&life->lock);
  g_free (life);
}

bool
nbd_life_is_stopped (const NbdLife *life)
{
  return life->stop && g_atomic_int_get (life->stop);
}

bool
nbd_life_is_over (const NbdLife *life)
{
  return g_atomic_int_get (&life->lost) || nbd_life_is_stopped (life);
}

bool
nbd_life_end (NbdLife *life)
{
  return g_atomic_int_compare_and_exchange (&life->lost, 0, 1);
}

bool
nbd_life_take_memory (NbdLife *life, gsize bytes, gsize for_others)
{
  if (g_atomic_pointer_add (&life->memory, bytes) + bytes
      <= NBD_AHEAD_BYTES - for_others)
    return true;
  nbd_life_return_memory (life, bytes);
  return false;
}

void
nbd_life_return_memory (NbdLife *life, gsize bytes)
{
  g_atomic_pointer_add (&life->memory, -(gssize) bytes);
}

void
nbd_life_add_sign (NbdLife *life, int fd)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  g_array_append_val (life->signs, fd);
}

void
nbd_life_remove_sign (NbdLife *life, int fd)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  for (guint i = 0; i < life->signs->len; i++)
    if (g_array_index (life->signs, int, i) == fd) {
      g_array_remove_index_fast (life->signs, i);
      return;
    }
}

bool
nbd_life_check (NbdLife *life)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  for (guint i = 0; i < life->signs->len; i++) {
    /* Not POLLIN: under TLS, session tickets may wait there unread. */
    struct pollfd sign = { .fd = g_array_index (life->signs, int, i),
                           .events = POLLRDHUP };
    if (poll (&sign, 1, 0) == 1)
      return false;
  }
  return true;
}

void
nbd_life_serve (NbdLife *life)
{
  g_mutex_lock (&life->lock);
  g_autoptr (GArray) all = g_steal_pointer (&life->beginnings);
  g_mutex_unlock (&life->lock);
  for (guint i = 0; all && i < all->len; i++) {
    const Beginning *one = &g_array_index (all, Beginning, i);
    one->begin (one->opaque);
  }
}

void
nbd_life_when_serving (NbdLife *life, void (*begin) (void *opaque),
                       void *opaque)
{
  const Beginning one = { begin, opaque };

  g_mutex_lock (&life->lock);
  const bool serving = !life->beginnings;
  if (!serving)
    g_array_append_val (life->beginnings, one);
  g_mutex_unlock (&life->lock);
  if (serving)
    begin (opaque);
}

void
nbd_life_forget (NbdLife *life, const void *opaque)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  for (guint i = life->beginnings ? life->beginnings->len : 0; i-- > 0;)
    if (g_array_index (life->beginnings, Beginning, i).opaque == opaque)
      g_array_remove_index (life->beginnings, i);
}

bool
nbd_life_is_serving (NbdLife *life)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  return !life->beginnings;
}

void
nbd_life_set_holder (NbdLife *life, const NbdHolder *holder, void *opaque)
{
  life->holder = holder;
  life->holder_opaque = opaque;
}

bool
nbd_life_has_holder (const NbdLife *life)
{
  return life->holder != NULL;
}

static void
end_negotiating (NbdLife *life, const void *key)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  if (g_hash_table_remove (life->negotiating, key))
    g_cond_broadcast (&life->settled);
}

bool
nbd_life_hold (NbdLife *life, const void *key, int fd, bool encrypted)
{
  if (!life->holder)
    return true;
  g_mutex_lock (&life->lock);
  const bool is_held = g_hash_table_contains (life->held, key);
  const gsize id = is_held ? 0 : ++life->last_id;
  if (!is_held)
    g_hash_table_insert (life->held, (gpointer) key, GSIZE_TO_POINTER (id));
  g_mutex_unlock (&life->lock);
  /* Not under the lock: it may have to wait. */
  return is_held
    || life->holder->hold (life->holder_opaque, id, fd, encrypted);
}

void
nbd_life_settle (NbdLife *life, const void *key)
{
  if (!life->holder)
    return;
  g_mutex_lock (&life->lock);
  const gsize id = GPOINTER_TO_SIZE (g_hash_table_lookup (life->held, key));
  g_mutex_unlock (&life->lock);
  if (id)
    life->holder->settle (life->holder_opaque, id);
  end_negotiating (life, key);
}

/* Its closing shows that the server has seen ours. */
static void
see_off (int fd)
{
  const gint64 deadline = nbd_deadline_in (NBD_SEEN_OFF_MS);
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };
  char noise[4096];

  shutdown (fd, SHUT_WR);
  while (nbd_budget_left (deadline) > 0)
    if (poll (&pollfd, 1, nbd_budget_left (deadline)) == 1
        && recv (fd, noise, sizeof noise, MSG_DONTWAIT) <= 0)
      return;
}

void
nbd_life_see_off (NbdLife *life, const void *key, int fd)
{
  if (!life->holder)
    return;
  g_mutex_lock (&life->lock);
  const bool is_held = g_hash_table_contains (life->held, key);
  g_mutex_unlock (&life->lock);
  if (!is_held)
    see_off (fd);
}

void
nbd_life_let_go (NbdLife *life, const void *key, int fd)
{
  gpointer id = NULL;

  if (!life->holder)
    return;
  g_mutex_lock (&life->lock);
  g_hash_table_steal_extended (life->held, key, NULL, &id);
  g_mutex_unlock (&life->lock);
  if (id)
    life->holder->let_go (life->holder_opaque, GPOINTER_TO_SIZE (id));
  else if (fd >= 0)
    see_off (fd);
  end_negotiating (life, key);
}

bool
nbd_life_negotiate (NbdLife *life, const void *key)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  if (!life->holder)
    return true;
  if (nbd_life_is_over (life))
    return false;
  g_hash_table_add (life->negotiating, (gpointer) key);
  return true;
}

bool
nbd_life_end_calmly (NbdLife *life, guint milliseconds)
{
  const gint64 deadline = nbd_deadline_in (milliseconds);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  nbd_life_end (life);
  while (g_hash_table_size (life->negotiating) > 0
         && g_cond_wait_until (&life->settled, &life->lock, deadline))
    ;
  return g_hash_table_size (life->negotiating) == 0;
}

bool
nbd_life_meets_same (NbdLife *life, int fd)
{
  struct sockaddr_un name;
  pid_t listener;
  gpointer first;

  if (!nbd_peer_listener (fd, &name, &listener))
    return true;
  g_autofree char *path = g_strndup (name.sun_path, sizeof name.sun_path);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);
  if (g_hash_table_lookup_extended (life->met, path, NULL, &first))
    return GPOINTER_TO_INT (first) == listener;
  g_hash_table_insert (life->met, g_steal_pointer (&path),
                       GINT_TO_POINTER (listener));
  return true;
}

NbdBudget
nbd_life_budget (const NbdLife *life)
{
  return (NbdBudget) { nbd_deadline_in (life->patience_ms), ANSWERS };
}

int
nbd_budget_left (gint64 deadline)
{
  const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;

  return (int) CLAMP (left, 0, G_MAXINT);
}

int
nbd_life_wait (const NbdLife *life, int fd, short events, gint64 deadline)
{
  struct pollfd pollfd = { .fd = fd, .events = events };

  do {
    if (nbd_life_is_over (life))
      return nbd_life_is_stopped (life) ? ESHUTDOWN : EIO;
    if (nbd_budget_left (deadline) == 0)
      return ETIMEDOUT;
  } while (poll (&pollfd, 1, MIN (TICK_US / 1000, nbd_budget_left (deadline)))
           <= 0);
  return 0;
}

int
nbd_life_spend (const NbdLife *life, NbdBudget *budget)
{
  if (nbd_life_is_stopped (life))
    return ESHUTDOWN;
  /* Who is asked near the end of the request would seem lost at once. */
  if (budget->answers == 0
      || nbd_budget_left (budget->deadline) <= (int) life->patience_ms / 2)
    return ETIMEDOUT;
  budget->answers--;
  return 0;
}

static void
cut_overdue (NbdLife *life)
{
  const gint64 now = g_get_monotonic_time ();

  if (!life->stopped && nbd_life_is_stopped (life))
    life->stopped = now;
  const gint64 more = life->holder ? NBD_HELD_GRACE_MS * 1000LL : 0;
  const bool stopped = life->stopped
    && now - life->stopped >= NBD_STOP_GRACE_MS * 1000 + more;
  for (GList *link = life->waits.head; link; link = link->next) {
    NbdWait *wait = link->data;
    wait->cut |= stopped || now >= wait->deadline;
    if (wait->shut || (!stopped && now < wait->deadline + more))
      continue;
    wait->shut = true;
    shutdown (wait->fd, SHUT_RDWR);
  }
}

static void *
run (void *opaque)
{
  NbdLife *life = opaque;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);
  guint quiet = 0;

  while (!life->ended) {
    quiet = life->waits.length > 0 ? 0 : quiet + 1;
    cut_overdue (life);
    life->asleep = quiet >= TICKS_AWAKE;
    if (life->asleep)
      g_cond_wait (&life->woken, &life->lock);
    else
      g_cond_wait_until (&life->woken, &life->lock,
                         g_get_monotonic_time () + TICK_US);
  }
  return NULL;
}

void
nbd_life_begin_wait (NbdLife *life, NbdWait *wait, int fd, gint64 deadline)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  *wait = (NbdWait) { .fd = fd, .deadline = deadline };
  wait->link.data = wait;
  g_queue_push_tail_link (&life->waits, &wait->link);
  /* Where there are no threads left, the next to come here tries again. */
  if (!life->thread)
    life->thread = g_thread_try_new ("waits", run, life, NULL);
  if (life->asleep)
    g_cond_signal (&life->woken);
}

int
nbd_life_end_wait (NbdLife *life, NbdWait *wait)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&life->lock);

  g_queue_unlink (&life->waits, &wait->link);
  return !wait->cut ? 0 : nbd_life_is_stopped (life) ? ESHUTDOWN : ETIMEDOUT;
}
