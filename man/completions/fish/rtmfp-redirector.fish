complete -c rtmfp-redirector -l listen -d 'Listen here: rtmfp://IP:PORT; may be given several times' -r
complete -c rtmfp-redirector -s n -l name -d 'The host name by which servers find this redirector' -r
complete -c rtmfp-redirector -l static-only -d 'Redirect everybody to these addresses, and let nobody register; commas between them' -r
complete -c rtmfp-redirector -s l -l user -d 'Take servers that know this password only; may be given several times' -r
complete -c rtmfp-redirector -l users-file -d 'Read users from this file, a NAME:PASSWORD in each line; at SIGHUP again' -r -F
complete -c rtmfp-redirector -s D -l bad-auth-delay -d 'How long servers with a wrong password wait before they are told' -r
complete -c rtmfp-redirector -l policy -d 'How servers are chosen' -r -f -a "least-load\t'Of two that chance picks, the one with less load'
weighted\t'By chance, one with twice the load half as often'
round-robin\t'In turns, whatever their loads are'
hash\t'The same server for the same --hash-key, as long as it is there'"
complete -c rtmfp-redirector -s r -l targets -d 'Send each client to so many servers, of which it takes the one that answers first; 2 if not given, or 1 by the policy hash' -r
complete -c rtmfp-redirector -l pool -d 'Servers for some clients only: NAME=[HOST][/APPLICATION]:USER[,USER...]; may be given several times' -r
complete -c rtmfp-redirector -l hash-key -d 'What the policy hash sends to the same server: clients with the same application, the same uri, or the same value of a parameter of the URI\'s query, as in parameter:room' -r
complete -c rtmfp-redirector -l client-load -d 'Of the policy least-load: what a client adds to a server\'s load until that reports it anew, in the unit of its reports' -r
complete -c rtmfp-redirector -l full-load -d 'A server that reports so much load, or more, gets no clients; rtmfp-relay is full at 10000' -r
complete -c rtmfp-redirector -s s -l shuffle-interval -d 'Of the policy round-robin: change the order of the servers so often; 0: never' -r
complete -c rtmfp-redirector -s S -l static-address -d 'Begin each redirect with this address; may be given several times' -r
complete -c rtmfp-redirector -l keepalive -d 'Ask a server that was silent for so long whether it is there' -r
complete -c rtmfp-redirector -l silent-after -d 'Send no clients to a server that was silent for so long, although it was asked' -r
complete -c rtmfp-redirector -l retransmit-limit -d 'Give a server up that does not answer for so long' -r
complete -c rtmfp-redirector -l idle-limit -d 'Close a session over which nobody has registered for so long' -r
complete -c rtmfp-redirector -l dh-groups -d 'Diffie-Hellman groups to offer, strongest first, of 16 (4096 bits), 14 (2048), 5 (1536) and 2 (1024)' -r
complete -c rtmfp-redirector -l crypto-threads -d 'Threads for public-key work; 0 does it between packets, on the only thread' -r
complete -c rtmfp-redirector -l max-servers -d 'Servers at a time; more are turned away' -r
complete -c rtmfp-redirector -l max-unauthenticated -d 'Those of them that have not proved that they know a password' -r
complete -c rtmfp-redirector -l max-unauthenticated-per-prefix -d 'Of those as many as may be from one part of the network, a /24 of IPv4 or a /56 of IPv6; a sixteenth of --max-unauthenticated, but at least 8, if not given' -r
complete -c rtmfp-redirector -l auth-timeout -d 'They have so long for it' -r
complete -c rtmfp-redirector -l max-addresses -d 'Addresses that a server may name; more are ignored' -r
complete -c rtmfp-redirector -l max-redirects -d 'Clients answered each second, and at once; more are not answered and ask again' -r
complete -c rtmfp-redirector -l max-redirects-per-prefix -d 'The same for those from one part of the network, a /24 of IPv4 or a /56 of IPv6' -r
complete -c rtmfp-redirector -l max-redirect-bytes -d 'Addresses in a redirect in bytes, 7 each for IPv4 and 19 for IPv6; longer ones are shortened' -r
complete -c rtmfp-redirector -l rotate -d 'With --static-only: begin each redirect with the next of the addresses'
complete -c rtmfp-redirector -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp-redirector -l version -d 'Print the version'
complete -c rtmfp-redirector -s f -l same-family -d 'Send clients that come by IPv4 to addresses of IPv4 only, and the same for IPv6'
complete -c rtmfp-redirector -s F -l forward-any-family -d 'Tell servers also of clients that cannot reach them by the family that they come by (unusual)'
complete -c rtmfp-redirector -s h -l help -d 'Print help (see more with \'--help\')'
