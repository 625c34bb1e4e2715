complete -c rtmfp-relay -l listen -d 'Listen here: rtmp://IP:PORT or rtmfp://IP:PORT; may be given several times' -r
complete -c rtmfp-relay -l to -d 'Connect each client to this destination: rtmp://HOST[:PORT] or rtmfp://HOST[:PORT]' -r
complete -c rtmfp-relay -l drain-timeout -d 'How long to let streams run on after the first SIGTERM or SIGINT; inf: to their end' -r
complete -c rtmfp-relay -s V -l video-lifetime -d 'Leave a video frame out when it could not be begun within this time; inf: never' -r
complete -c rtmfp-relay -s A -l audio-lifetime -d 'Leave an audio frame out when it could not be begun within this time; inf: never' -r
complete -c rtmfp-relay -s F -l finish-margin -d 'How much longer a frame that was begun may take to arrive' -r
complete -c rtmfp-relay -s e -l previous-group-margin -d 'How much longer what is left of a group of pictures may take once the next key frame is there; inf: as long as without it' -r
complete -c rtmfp-relay -s T -l dscp -d 'Mark outgoing packets for networks that tell traffic apart: 0 to 63, or a name such as AF41, EF, CS5' -r
complete -c rtmfp-relay -l dh-groups -d 'Diffie-Hellman groups to offer, strongest first, of 16 (4096 bits), 14 (2048), 5 (1536) and 2 (1024)' -r
complete -c rtmfp-relay -l max-dh-group -d 'The strongest Diffie-Hellman group to use towards the destination, of those of --dh-groups' -r
complete -c rtmfp-relay -l crypto-threads -d 'Threads for public-key work; 0 does it between packets, on the only thread' -r
complete -c rtmfp-relay -l key-log-file -d 'Append the keys of all sessions to this file, by which captures of them can be read: for debugging only' -r -F
complete -c rtmfp-relay -l max-clients -d 'Clients at a time; more are turned away' -r
complete -c rtmfp-relay -l max-clients-per-address -d 'Clients at a time from one IP address; more are turned away' -r
complete -c rtmfp-relay -l max-message -d 'The longest message, in bytes (K and M: KiB and MiB)' -r
complete -c rtmfp-relay -l max-memory -d 'Memory for what a client has sent in part, once its connect was accepted, in bytes' -r
complete -c rtmfp-relay -l max-memory-before-connect -d 'Memory for what a client has sent in part, before its connect was accepted, in bytes' -r
complete -c rtmfp-relay -l max-commands -d 'Close a client that sends more bytes of commands, data and shared objects a second, or four times as many at once' -r
complete -c rtmfp-relay -l handshake-timeout -d 'Close a client whose handshake takes longer' -r
complete -c rtmfp-relay -l connect-timeout -d 'Close a client that has sent no connect so long after its handshake' -r
complete -c rtmfp-relay -l workers -d 'Run so many independent workers, each on a thread of its own; auto: one for each processor' -r
complete -c rtmfp-relay -l worker-ports -d 'The UDP ports of the workers, one for each worker and RTMFP address of --listen; any free ones if not given' -r
complete -c rtmfp-relay -s L -l redirector -d 'Register with this redirector, which then sends clients here; may be given several times' -r
complete -c rtmfp-relay -s l -l redirector-user -d 'Authenticate with redirectors by this name and password; may be given several times' -r
complete -c rtmfp-relay -l redirector-user-file -d 'Read names and passwords from this file, a NAME:PASSWORD in each line; empty lines and those that begin with # don\'t count; at SIGHUP again' -r -F
complete -c rtmfp-relay -s d -l advertise -d 'Where clients find this relay from elsewhere, if not only where redirectors see it: IP or IP:PORT; may be given several times' -r
complete -c rtmfp-relay -l max-connections -d 'What counts as full load: so many clients; --max-clients if not given' -r
complete -c rtmfp-relay -l max-bitrate -d 'What counts as full load: so many bits per second of messages from and to clients (K, M and G: thousands, millions, milliards); nothing is slowed down by it' -r
complete -c rtmfp-relay -l load-weights -d 'How much clients, bits per second and the latency of the run loop count in the load: 1 as it is, 0 not at all' -r
complete -c rtmfp-relay -l no-wrong-port-watch -d 'Leave the ports alone that only tell of clients who come to the wrong one'
complete -c rtmfp-relay -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp-relay -l version -d 'Print the version'
complete -c rtmfp-relay -l legacy -d 'Get along with old programs: Flash Player, AIR, librtmfp, MonaServer and their kind'
complete -c rtmfp-relay -s H -l allow-no-hmac -d 'Accept far ends that cannot protect packets by HMAC (Flash Player and its kind)'
complete -c rtmfp-relay -s S -l allow-no-sequence-numbers -d 'Accept far ends that cannot number their packets against replay (Flash Player and its kind)'
complete -c rtmfp-relay -s x -l ephemeral -d 'Use new keys for each outgoing session, not a pair that is made once at the start'
complete -c rtmfp-relay -l static-keys -d 'Use one pair of keys, made at the start, for all sessions that listeners accept'
complete -c rtmfp-relay -s D -l no-advertise-reflexive -d 'Have redirectors send clients to the addresses of --advertise only, not to where they see this relay'
complete -c rtmfp-relay -s h -l help -d 'Print help (see more with \'--help\')'
